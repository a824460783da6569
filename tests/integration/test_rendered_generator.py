"""The rendered generator as a service, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
from spiral.v1 import generator_pb2, generator_pb2_grpc

from services.generators.candidate_identity import candidates_name, lease_seed
from services.generators.rendered.candidates import CELLS, make_candidates
from services.generators.rendered.service import build
from services.generators.rendered.settings import RenderedSettings
from shared import wire
from shared.artifacts import Artifacts
from shared.buckets import open_bucket
from shared.bus import Bus
from shared.catalogue import Room
from shared.dead_letters import list_dead
from shared.domain import Candidate, GeneratorRegistration, Lease, Recipe
from shared.events import CandidatesGenerated, Event, GenerationRequested
from shared.history import consumer_lag
from shared.publisher import publish_event
from shared.registry import BUCKET as GENERATORS
from shared.registry import EXPIRY_S, GeneratorRegistry
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import read_candidates
from shared.wire import from_wire, to_wire
from tests.examples import CAUSE, model, run_spec
from tests.rooms import eventually, said

CELL = CELLS[4]


def lease(lease_id: str = "l1") -> Lease:
    return Lease(lease_id, CELL, Recipe.TEACH, "rendered", 0, 12, 6, 9, 0.3, 64, model("r1"))


async def request(bus: Bus, asked: Lease, run_id: str = "r1") -> GenerationRequested:
    event = GenerationRequested(run_id, 1, asked)
    await publish_event(bus, Room.PLANNER, replace(CAUSE, event_id=f"plan-{run_id}-{asked.lease_id}"), event)
    return event


@asynccontextmanager
async def generator(settings: RoomSettings, announce_every_s: float = 0.2) -> AsyncIterator[tuple[asyncio.Task[int], asyncio.Event]]:
    own = RenderedSettings.model_validate(settings.model_dump() | {"announce_every_s": announce_every_s, "max_in_flight": 2})
    stop = asyncio.Event()
    task = asyncio.create_task(run(Room.GENERATORS, own, build, stop))
    try:
        yield task, stop
    finally:
        stop.set()
        assert await asyncio.wait_for(task, 20) == 0


def registry(bus: Bus) -> GeneratorRegistry:
    return GeneratorRegistry(bus.bucket)


async def announced(bus: Bus) -> GeneratorRegistration:
    async with asyncio.timeout(15):
        while not (living := await registry(bus).living()):  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)
    return living[0]


@asynccontextmanager
async def artifacts_of(settings: RoomSettings, directory: Path) -> AsyncIterator[Artifacts]:
    async with open_store(settings) as store:
        yield Artifacts(store, cache_dir=directory, producer="generators")


async def generated(bus: Bus, num_events: int) -> CandidatesGenerated:
    events: list[Event] = await said(bus, "r1", num_events)
    (found,) = [event for event in events if isinstance(event, CandidatesGenerated)]
    return found


async def test_a_lease_becomes_the_candidates_of_its_seed(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with generator(settings):
        await request(bus, lease())
        event = await generated(bus, 2)
    async with artifacts_of(settings, tmp_path / "cache") as artifacts:
        candidates = read_candidates(await artifacts.read_bytes(event.candidates), "candidates")
        assert await artifacts.find(candidates_name("r1", 1, "l1")) is not None
    assert (event.lease, event.num_candidates, event.generator.kind) == (lease(), 12, "rendered")
    assert candidates == make_candidates(CELL, 12, lease_seed(lease()), 0.3, 64)


async def test_candidates_that_a_crash_left_unsaid_are_announced_at_the_next_start(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with generator(settings):
        await request(bus, lease())
        before = await generated(bus, 2)
    # A deleted stream has forgotten the event and its id, as if the room had died before it spoke.
    await bus.js.delete_stream("SPIRAL_WORK")
    await bus.declare_streams()
    async with generator(settings):
        assert await generated(bus, 1) == before


async def test_a_lease_it_cannot_serve_becomes_a_dead_letter_and_the_next_one_is_served(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with generator(settings):
        await request(bus, replace(lease("hard"), difficulty=7.0))
        await request(bus, lease("of-nobody"), run_id="unknown-run")
        await request(bus, lease())
        assert (await generated(bus, 3)).lease == lease()
        async with asyncio.timeout(15):
            while len(letters := await list_dead(bus)) < 2:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)
    assert any("difficulty 7.0" in letter.obituary.reason for letter in letters)


async def test_it_describes_itself_streams_candidates_and_drains(bus: Bus, settings: RoomSettings) -> None:
    async with generator(settings) as (task, _):
        entry = await announced(bus)
        async with grpc.aio.insecure_channel(entry.grpc_address) as channel:
            stub = generator_pb2_grpc.GeneratorServiceStub(channel)
            description = await stub.DescribeGenerator(generator_pb2.DescribeGeneratorRequest())
            assert [cell.category for cell in description.cells] == [to_wire(cell).category for cell in CELLS]  # type: ignore[attr-defined]
            assert 0 < description.unit_cost_s < 0.05

            asked = generator_pb2.GenerateCandidatesRequest(cell=to_wire(CELL), num_candidates=70, seed=5, difficulty=0.5, image_size_px=64)
            streamed = [from_wire(Candidate, response.candidate) async for response in stub.GenerateCandidates(asked)]
            assert streamed == make_candidates(CELL, 70, 5, 0.5, 64)

            asked.num_candidates = 0
            with pytest.raises(grpc.aio.AioRpcError, match="num_candidates") as refusal:
                _ = [response async for response in stub.GenerateCandidates(asked)]
            assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT

            assert (await stub.Drain(generator_pb2.DrainRequest())).num_open_leases == 0
            assert [entry.is_draining for entry in await registry(bus).living()] in ([True], []), "known before the call is answered"
            assert await asyncio.wait_for(task, 20) == 0
    assert await registry(bus).living() == []


async def test_a_replica_that_is_stopped_says_so_at_once_and_finishes_what_it_holds(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with generator(settings, announce_every_s=5.0) as (task, stop):
        await announced(bus)
        news = await (await bus.js.key_value(GENERATORS)).watchall()
        await request(bus, replace(lease(), num_candidates=200))

        async def is_taken() -> bool:
            return [lag.num_pending for lag in await consumer_lag(bus) if lag.kind == "rendered"] == [0]

        await eventually(is_taken)
        stop.set()
        async with asyncio.timeout(15):
            # The updates come in their order; one that says nothing ends those that stood at the beginning.
            while (entry := await news.updates(timeout=15)) is None or not wire.decode(GeneratorRegistration, entry.value).is_draining:
                pass
        assert (await generated(bus, 2)).num_candidates == 200
        assert await asyncio.wait_for(task, 20) == 0
    assert await registry(bus).living() == []


async def test_a_generator_whose_announcement_nobody_heard_says_it_again(bus: Bus, settings: RoomSettings) -> None:
    async with generator(settings, announce_every_s=0.05) as (task, _):
        await announced(bus)
        await bus.js.delete_stream(f"KV_{GENERATORS}")
        # Time for several announcements, none of which is heard.
        await asyncio.sleep(0.3)
        await open_bucket(bus.js, GENERATORS, ttl_s=EXPIRY_S, num_replicas=1)
        await announced(bus)
        assert not task.done()
