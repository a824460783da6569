"""The planner as a service, on a real broker, with quality and the generators played by the test."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc.aio
import pytest
from spiral.v1 import planner_pb2, planner_pb2_grpc

from services.planner.service import BUCKET, Planner, build
from services.planner.settings import PlannerSettings
from shared.bus import Bus
from shared.catalogue import Room
from shared.dead_letters import DeadLetter, list_dead
from shared.domain import (
    Cell,
    CellGain,
    ClosingReason,
    EndReason,
    GeneratorIdentity,
    GeneratorRegistration,
    Interval,
    Lease,
    ModelVersion,
    PairedComparison,
    RejectionReason,
    Verdict,
)
from shared.events import (
    CandidatesReviewed,
    Event,
    GenerationRequested,
    MixturePlanned,
    ModelPromoted,
    ModelUpdated,
    PlanClosed,
    RunFinished,
    WeaknessReport,
)
from shared.history import follow
from shared.ports import Cause, Delivery
from shared.presence import present
from shared.publisher import publish_event
from shared.registry import GeneratorRegistry
from shared.run_spec import PlanningSpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.service import Keyed, Ports
from shared.settings import RoomSettings
from shared.wire import to_wire
from tests.examples import CAUSE
from tests.rooms import eventually, living_room, said, serving
from tests.unit.planner.planted import BASE, CELLS, REF, diagnosed, run_spec

USED = CELLS[:3]
MAKER = GeneratorIdentity("rendered", "1.0.0", "g1")


def registry(bus: Bus) -> GeneratorRegistry:
    return GeneratorRegistry(bus.bucket)


async def announce(bus: Bus, kind: str = "rendered", cells: Sequence[Cell] = USED, unit_cost_s: float = 0.001) -> GeneratorRegistration:
    entry = GeneratorRegistration(GeneratorIdentity(kind, "1.0.0", f"{kind}-1"), tuple(cells), unit_cost_s, "127.0.0.1:1", False)
    await registry(bus).announce(entry)
    return entry


def report(iteration: int, *, p_value: float = 0.001) -> WeaknessReport:
    model = BASE if iteration == 0 else ModelVersion(f"run/{iteration}", iteration, REF, "run/0")
    gains = tuple(CellGain(cell, 30, 0.1, Interval(-0.1, 0.3, 0.95), 6, 3, 3, 0) for cell in USED)
    comparison = PairedComparison("run/0", 90, 0.1, Interval(0.01, 0.2, 0.95), p_value, gains) if iteration else None
    cells = tuple(diagnosed(cell, correct) for cell, correct in zip(USED, (20, 60, 95), strict=True))
    return WeaknessReport("run", iteration, model, REF, cells, comparison)


def review(lease: Lease, acceptance: float = 0.7) -> CandidatesReviewed:
    """What quality would say: the lease's seed alone decides."""
    rng, accepted, verdicts = random.Random(lease.seed), 0, list[Verdict]()
    for number in range(lease.num_candidates):
        is_accepted = rng.random() < acceptance and accepted < lease.num_wanted
        accepted += is_accepted
        verdicts.append(Verdict(f"{lease.lease_id}-{number}", is_accepted, None if is_accepted else RejectionReason.WRONG_ANSWER, ""))
    return CandidatesReviewed("run", int(lease.lease_id.split(".")[1]), lease, REF, tuple(verdicts), MAKER)


async def dead(bus: Bus, count: int) -> list[DeadLetter]:
    """The dead letters, once there are `count`."""

    async def are_there() -> bool:
        return len(await list_dead(bus)) >= count

    await eventually(are_there)
    return await list_dead(bus)


@asynccontextmanager
async def planner_room(bus: Bus, settings: RoomSettings, **own: object) -> AsyncIterator[str]:
    """Runs the room and gives its gRPC address."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(Room.PLANNER, PlannerSettings.model_validate(settings.model_dump() | own), build, stop))
    try:
        await serving(bus, Room.PLANNER)
        yield next(one.grpc_address for one in await present(bus) if one.room == "planner" and one.state == "serving")
    finally:
        stop.set()
        assert await asyncio.wait_for(task, 20) == 0


async def tell(bus: Bus, event: Event, cause_id: str) -> None:
    room = Room.ATTRIBUTOR if isinstance(event, WeaknessReport) else Room.QUALITY
    await publish_event(bus, room, replace(CAUSE, event_id=cause_id), event)


async def quality_until(bus: Bus, *ends: type[Event]) -> list[Event]:
    """Reviews every lease as it is asked for; returns what was said up to the first event of one of the kinds."""
    events: list[Event] = []
    async with asyncio.timeout(30):
        async for _, event, _ in follow(bus, "run"):
            events.append(event)
            if isinstance(event, GenerationRequested):
                await tell(bus, review(event.lease), event.lease.lease_id)
            if isinstance(event, ends):
                break
    return events


@asynccontextmanager
async def planner(settings: RoomSettings, patience_s: float = 60.0) -> AsyncIterator[tuple[Planner, Ports]]:
    """The planner without its runtime: its handlers return what would be said, and nobody says it."""

    async def ignored(event: Event, delivery: Delivery) -> Sequence[Event]:
        return []

    async with living_room(settings, {ModelUpdated: ignored}) as room:
        yield Planner(room.ports, generator_patience_s=patience_s, start_difficulty=0.3, top_difficulty=0.9), room.ports


def plain(following: Iterable[Event | Keyed]) -> list[Event]:
    """Events without their keys."""
    return [each.event if isinstance(each, Keyed) else each for each in following]


def asked(following: Iterable[Event | Keyed]) -> list[Lease]:
    """The leases that are asked for."""
    return [event.lease for event in plain(following) if isinstance(event, GenerationRequested)]


async def look(room: Planner) -> list[Event]:
    """What the watch says at one look."""
    return [event for said_for in [events async for _, events in room.watch(SPEC)] for event in plain(said_for)]


def delivery(of: str, attempt: int = 1) -> Delivery:
    return Delivery(Cause(of, 1), attempt, "subject")


SPEC = run_spec(num_iterations=1, num_samples=60, max_candidates=200, lease_size=16)


async def test_a_run_from_its_first_report_to_its_end(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    async with planner_room(bus, settings):
        await announce(bus)
        await tell(bus, report(0), "first")
        events = await quality_until(bus, PlanClosed)
        await tell(bus, report(1), "second")
        finished = await quality_until(bus, RunFinished)
    planned = next(event for event in events if isinstance(event, MixturePlanned))
    closed = events[-1]
    assert isinstance(closed, PlanClosed)
    assert closed.reason is ClosingReason.QUOTAS_MET
    accepted = {event.lease.lease_id: sum(v.accepted for v in event.verdicts) for event in events if isinstance(event, CandidatesReviewed)}
    assert sum(accepted[lease_id] for lease_id in closed.lease_ids) == planned.num_samples == 60
    promoted = [event for event in finished if isinstance(event, ModelPromoted)]
    assert [(event.champion.model_id, event.is_promoted) for event in promoted] == [("run/0", True), ("run/1", True)]
    end = finished[-1]
    assert isinstance(end, RunFinished)
    assert (end.reason, end.champion.model_id) == (EndReason.ITERATIONS_DONE, "run/1")
    assert await BusRuns(bus).unfinished() == []


async def test_death_between_decision_and_word_changes_no_word(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    await announce(bus)
    async with planner(settings) as (room, _):
        first = await room.on_weakness_report(report(0), delivery("report"))
        assert await room.on_weakness_report(report(0), delivery("report", 2)) == first
        waiting = asked(first)
        said_before: dict[str, Sequence[Event | Keyed]] = {}
        while waiting:
            lease = waiting.pop()
            said_before[lease.lease_id] = await room.on_candidates_reviewed(review(lease), delivery(lease.lease_id))
            waiting += asked(said_before[lease.lease_id])
            for lease_id in said_before:
                again = await room.on_candidates_reviewed(review(_lease(first, said_before, lease_id)), delivery(lease_id, 2))
                assert again == said_before[lease_id]
        assert await room.on_weakness_report(report(0), delivery("report", 3)) == first
        everything = [event for events in said_before.values() for event in events]
        assert sum(isinstance(event, PlanClosed) for event in everything) == 1
        reconciled = await room.reconcile(SPEC)
    assert reconciled[0] == (Cause("report", 1), tuple(first))
    assert {cause.event_id: tuple(events) for cause, events in reconciled[1:]} == {k: tuple(v) for k, v in said_before.items()}


def _lease(first: Sequence[Event | Keyed], later: dict[str, Sequence[Event | Keyed]], lease_id: str) -> Lease:
    return next(lease for lease in asked([*first, *(event for some in later.values() for event in some)]) if lease.lease_id == lease_id)


async def test_replicas_that_race_for_one_ledger_lose_nothing_and_close_once(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    await announce(bus)
    async with planner(settings) as (room, ports):
        rival = Planner(ports, generator_patience_s=60.0, start_difficulty=0.3, top_difficulty=0.9)
        opened = await asyncio.gather(*(one.on_weakness_report(report(0), delivery("report")) for one in (room, rival)))
        assert opened[0] == opened[1]
        waiting = asked(opened[0])
        ends: list[Event | Keyed] = []
        while waiting:
            tasks = [one.on_candidates_reviewed(review(lease), delivery(lease.lease_id)) for lease in waiting for one in (room, rival)]
            answers = await asyncio.gather(*tasks)
            assert answers[::2] == answers[1::2]
            said_now = [event for events in answers[::2] for event in events]
            waiting = asked(said_now)
            ends += [event for event in said_now if isinstance(event, PlanClosed)]
    assert len(ends) == 1


async def test_what_a_crash_left_unsaid_is_said_at_the_next_start(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    await announce(bus)
    async with planner_room(bus, settings):
        await tell(bus, report(0), "first")
        before = await said(bus, "run", 6)
    # Deleted streams have forgotten events and ids, as if the room had died before it spoke.
    for stream in ("SPIRAL_CONTROL", "SPIRAL_WORK"):
        await bus.js.delete_stream(stream)
    await bus.declare_streams()
    async with planner_room(bus, settings):
        after = await said(bus, "run", 5)
    assert sorted(map(repr, after)) == sorted(repr(event) for event in before if not isinstance(event, WeaknessReport))


async def test_plan_without_an_accepted_sample_ends_the_run(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    async with planner_room(bus, settings):
        await announce(bus)
        await tell(bus, report(0), "first")
        async with asyncio.timeout(30):
            async for _, event, _ in follow(bus, "run"):
                if isinstance(event, GenerationRequested):
                    await announce(bus)
                    await tell(bus, review(event.lease, acceptance=0.0), event.lease.lease_id)
                if isinstance(event, RunFinished):
                    break
    assert event.reason is EndReason.NO_SAMPLES
    assert "200 candidates" in event.explanation


async def test_review_of_a_lease_that_was_never_issued_becomes_a_dead_letter(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    async with planner_room(bus, settings):
        await announce(bus)
        await tell(bus, report(0), "first")
        events = await said(bus, "run", 6)
        lease = next(event.lease for event in events if isinstance(event, GenerationRequested))
        await tell(bus, review(replace(lease, lease_id=f"{lease.lease_id}0")), "foreign")
        letters = await dead(bus, 1)
    assert "never issued" in letters[0].obituary.reason
    assert len(await (await bus.bucket(BUCKET)).keys()) == 2


async def test_mixture_is_previewed_by_call(bus: Bus, settings: RoomSettings) -> None:
    async with planner_room(bus, settings) as address, grpc.aio.insecure_channel(address) as channel:
        stub = planner_pb2_grpc.PlannerServiceStub(channel)
        cells = [to_wire(cell) for cell in report(0).cells]
        request = planner_pb2.PreviewMixtureRequest(cells=cells, planning=to_wire(PlanningSpec(num_samples=100, max_candidates=300)))
        assert sum(quota.num_samples for quota in (await stub.PreviewMixture(request)).quotas) == 100
        request.planning.max_candidates = 0
        with pytest.raises(grpc.aio.AioRpcError, match="max_candidates") as refusal:
            await stub.PreviewMixture(request)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
