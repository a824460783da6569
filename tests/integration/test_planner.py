"""The planner as a service: from reports and reviews to mixtures, leases and the end."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import grpc.aio
import pytest
from spiral.v1 import planner_pb2, planner_pb2_grpc

from services.planner.service import BUCKET, Planner
from shared.bus import Bus
from shared.dead_letters import DeadLetter, list_dead
from shared.domain import (
    ClosingReason,
    EndReason,
    Lease,
    Recipe,
)
from shared.events import (
    CandidatesReviewed,
    Event,
    GenerationRequested,
    MixturePlanned,
    ModelPromoted,
    PlanClosed,
    RunFinished,
    WeaknessReport,
)
from shared.history import follow
from shared.ports import Cause
from shared.run_spec import PlanningSpec
from shared.runs import BusRuns
from shared.service import Keyed
from shared.settings import RoomSettings
from shared.wire import to_wire
from tests.integration.planner_room import (
    SPEC,
    announce,
    asked,
    delivery,
    planner,
    planner_room,
    quality_until,
    report,
    review,
    tell,
)
from tests.rooms import eventually, said


async def dead(bus: Bus, count: int) -> list[DeadLetter]:
    """The dead letters, once there are `count`."""

    async def are_there() -> bool:
        return len(await list_dead(bus)) >= count

    await eventually(are_there)
    return await list_dead(bus)


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


async def test_candidates_for_another_lease_than_was_issued_count_for_nothing(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    async with planner_room(bus, settings):
        await announce(bus)
        await tell(bus, report(0), "first")
        async with asyncio.timeout(30):
            async for _, event, _ in follow(bus, "run"):
                if isinstance(event, GenerationRequested):
                    other = Recipe.TEACH if event.lease.recipe is Recipe.REINFORCE else Recipe.REINFORCE
                    forged = replace(event.lease, recipe=other) if event.lease.ordinal == 1 else event.lease
                    await tell(bus, review(forged), event.lease.lease_id)
                if isinstance(event, PlanClosed):
                    break
    assert event.reason is ClosingReason.QUOTAS_MET
    assert {int(lease_id.rsplit(".", 1)[1]) for lease_id in event.lease_ids} & {1} == set()


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
