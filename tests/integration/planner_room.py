"""The planner on a real broker, with quality and the generators played by the test."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from services.planner.service import Planner, build
from services.planner.settings import PlannerSettings
from shared.bus import Bus
from shared.cancellation import end
from shared.catalogue import Room
from shared.domain import (
    Cell,
    CellGain,
    GeneratorIdentity,
    GeneratorRegistration,
    Interval,
    Lease,
    ModelVersion,
    PairedComparison,
    RejectionReason,
    Verdict,
)
from shared.events import CandidatesReviewed, Event, GenerationRequested, ModelUpdated, WeaknessReport
from shared.history import follow
from shared.ports import Cause, Delivery
from shared.presence import present
from shared.publisher import publish_event
from shared.registry import GeneratorRegistry
from shared.runtime import run
from shared.service import Keyed, Ports
from shared.settings import RoomSettings
from tests.examples import CAUSE
from tests.rooms import living_room, serving
from tests.unit.planner.planted import BASE, CELLS, REF, diagnosed, run_spec

USED = CELLS[:3]
SPEC = run_spec(num_iterations=1, num_samples=60, max_candidates=200, lease_size=16)
MAKER = GeneratorIdentity("rendered", "1.0.0", "g1")


def registry(bus: Bus) -> GeneratorRegistry:
    return GeneratorRegistry(bus.bucket)


async def announce(bus: Bus, kind: str = "rendered", cells: Sequence[Cell] = USED, unit_cost_s: float = 0.001) -> GeneratorRegistration:
    entry = GeneratorRegistration(GeneratorIdentity(kind, "1.0.0", f"{kind}-1"), tuple(cells), unit_cost_s, "127.0.0.1:1", False)
    await registry(bus).announce(entry)
    return entry


@asynccontextmanager
async def alive(bus: Bus, kind: str, cells: Sequence[Cell] = USED, unit_cost_s: float = 0.001) -> AsyncIterator[None]:
    """A kind that announces itself until the block is left, and then says nothing, as if it were killed."""

    async def beat() -> None:
        while True:
            await announce(bus, kind, cells, unit_cost_s)
            await asyncio.sleep(0.2)

    await announce(bus, kind, cells, unit_cost_s)
    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        await end([beating])


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
