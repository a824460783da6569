"""The agentic generator as a service on a real broker: leases, registry, budget, previews, draining, and standing aside."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
from spiral.v1 import generator_pb2, generator_pb2_grpc

from services.generators.agentic.service import build
from services.generators.agentic.settings import AgenticSettings
from services.generators.candidate_identity import candidates_name
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.dead_letters import list_dead
from shared.domain import Candidate, Cell, GeneratorRegistration, ImageCategory, Lease, LeaseTask, QuestionType, Recipe
from shared.events import CandidatesGenerated, GenerationRequested
from shared.history import consumer_lag
from shared.presence import present
from shared.publisher import publish_event
from shared.registry import GeneratorRegistry
from shared.run_spec import SpendingSpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import read_candidates
from shared.wire import from_wire, to_wire
from tests.agentic_stage import Script
from tests.examples import CAUSE, model, run_spec
from tests.integration.test_agentic_lists import is_true
from tests.pool_images import Picture, draw_pictures, fill_pool
from tests.rooms import eventually, said, serving
from tests.scripted_llm import ChatRequest, Fault, ScriptedLlm, models_toml
from tests.scripted_llm.sighted import Sighted

CELL = Cell(ImageCategory.MAP, QuestionType.NUMERIC)
PICTURES = draw_pictures(6, categories=(ImageCategory.MAP, ImageCategory.MEDICAL))


def lease(lease_id: str = "l1", num_candidates: int = 3, **changes: object) -> Lease:
    return replace(Lease(lease_id, CELL, Recipe.TEACH, "agentic", 0, num_candidates, num_candidates, 9, 0.3, 160, model("r1")), **changes)


async def request(bus: Bus, asked: Lease) -> GenerationRequested:
    event = GenerationRequested("r1", 1, asked)
    await publish_event(bus, Room.PLANNER, replace(CAUSE, event_id=f"plan-{asked.lease_id}"), event)
    return event


@asynccontextmanager
async def objects(settings: RoomSettings, directory: Path) -> AsyncIterator[Artifacts]:
    async with open_store(settings) as store:
        yield Artifacts(store, cache_dir=directory / "cache", producer="generators")


@asynccontextmanager
async def fill(settings: RoomSettings, directory: Path, pictures: list[Picture]) -> AsyncIterator[None]:
    async with objects(settings, directory) as artifacts:
        await fill_pool(artifacts, pictures)
    yield


@asynccontextmanager
async def room(settings: RoomSettings, **changes: object) -> AsyncIterator[tuple[asyncio.Task[int], asyncio.Event]]:
    values = {
        "announce_every_s": 0.1,
        "pool_refresh_s": 0.2,
        "max_in_flight": 4,
        "backoff_s": 0.05,
        "max_deliver_retryable": 1000,
        **changes,
    }
    own = AgenticSettings.model_validate(settings.model_dump() | values)
    stop = asyncio.Event()
    task = asyncio.create_task(run(Room.GENERATORS, own, build, stop))
    try:
        yield task, stop
    finally:
        stop.set()
        assert await asyncio.wait_for(task, 20) == 0


@asynccontextmanager
async def scripted(directory: Path, script: Script | None = None, **options: object) -> AsyncIterator[tuple[ScriptedLlm, Path]]:
    with ScriptedLlm(script or Sighted()) as llm:
        path = directory / "models.toml"
        path.write_text(models_toml(llm.url, embed=None, edit_image=None, **options))  # type: ignore[arg-type]
        yield llm, path


async def living(bus: Bus) -> list[GeneratorRegistration]:
    return await GeneratorRegistry(bus.bucket).living()


async def generated(bus: Bus, num_events: int) -> list[CandidatesGenerated]:
    return [event for event in await said(bus, "r1", num_events, 30.0) if isinstance(event, CandidatesGenerated)]


async def activity(bus: Bus) -> str:
    return next((one.activity.what for one in await present(bus) if one.kind == "agentic"), "")


async def test_a_lease_becomes_true_candidates_with_what_they_cost(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path) as (llm, models), room(settings, models_file=models):
        await eventually(lambda: living(bus))
        (entry,) = await living(bus)
        assert (entry.can_annotate, entry.max_lease_size, entry.draws_probes, entry.unit_cost_s) == (True, 8, False, 30.0)
        assert len(entry.cells) == 36
        await request(bus, lease())
        await request(bus, lease("l2", task=LeaseTask.ANNOTATE))
        events = await generated(bus, 4)

        async def is_measured() -> bool:
            return [one.unit_cost_s < 30.0 for one in await living(bus)] == [True]

        await eventually(is_measured)
        num_asked = len(llm.requests)
    assert sum(spend.num_calls for event in events for spend in event.spent) == num_asked
    assert {spend.role for event in events for spend in event.spent} == {"blueprint", "select", "observe", "ask", "solve"}
    async with objects(settings, tmp_path) as artifacts:
        for event in events:
            candidates = read_candidates(await artifacts.read_bytes(event.candidates), "candidates")
            assert event.num_candidates == len(candidates) == 3 and all(is_true(candidate) for candidate in candidates)
            ref = await artifacts.find(candidates_name("r1", 1, event.lease.lease_id))
            assert ref is not None
            manifest = await artifacts.manifest(ref)
            sources = {json.loads(candidate.provenance)["source"]["image_sha256"] for candidate in candidates}
            assert {path for path in manifest.files if path.startswith("sources/")} == {f"sources/{digest}" for digest in sources}
            assert (manifest.metadata["num_asked"], manifest.metadata["failures"]) == (3, [])


async def test_failures_stand_in_the_manifest_by_role_and_reason(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))

    def script(request: ChatRequest) -> str | Fault:
        return Fault.refuse("no thanks") if request.schema_name == "Observations" else Sighted()(request)

    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path, script) as (_, models), room(settings, models_file=models):
        await request(bus, lease())
        (event,) = await generated(bus, 2)
    assert event.num_candidates == 0
    async with objects(settings, tmp_path) as artifacts:
        ref = await artifacts.find(candidates_name("r1", 1, "l1"))
        assert ref is not None
        (failure,) = (await artifacts.manifest(ref)).metadata["failures"]
    assert (failure["role"], failure["reason"], failure["count"]) == ("observe", "refusal", 3)
    assert "no thanks" in failure["detail"]


@pytest.mark.parametrize("has_file", [False, True])
async def test_without_language_models_it_says_so_and_stands_aside(
    bus: Bus, settings: RoomSettings, tmp_path: Path, has_file: bool
) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    models = tmp_path / "models.toml"
    models.write_text("[roles]\n")
    async with fill(settings, tmp_path, PICTURES), room(settings, models_file=models if has_file else None) as (task, _):
        await serving(bus, Room.GENERATORS)
        await request(bus, lease())

        async def says_so() -> bool:
            return "no language models" in await activity(bus) and "set SPIRAL_MODELS_FILE" in await activity(bus)

        await eventually(says_so)
        assert (await living(bus), task.done()) == ([], False)
        assert not [lag for lag in await consumer_lag(bus) if lag.kind == "agentic"], "it takes no leases"
        (one,) = [one for one in await present(bus) if one.kind == "agentic"]
        async with grpc.aio.insecure_channel(one.grpc_address) as channel:
            stub = generator_pb2_grpc.GeneratorServiceStub(channel)
            asked = generator_pb2.GenerateCandidatesRequest(cell=to_wire(CELL), num_candidates=1, difficulty=0.5, image_size_px=64)
            with pytest.raises(grpc.aio.AioRpcError, match="no language models") as refusal:
                _ = [response async for response in stub.GenerateCandidates(asked)]
            assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_without_images_it_stands_aside_until_somebody_adds_some(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with scripted(tmp_path) as (_, models), room(settings, models_file=models):

        async def says_so() -> bool:
            return "spiral pool add" in await activity(bus)

        await eventually(says_so)
        assert await living(bus) == []
        await request(bus, lease())
        async with fill(settings, tmp_path, PICTURES):
            (event,) = await generated(bus, 2)
        assert event.num_candidates == 3
        await eventually(lambda: living(bus))
        assert [entry.can_annotate for entry in await living(bus)] == [True]
    assert await list_dead(bus) == []


async def test_while_the_endpoint_is_away_it_leaves_the_registry_and_the_lease_waits(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    is_down = [True]

    def script(request: ChatRequest) -> str | Fault:
        return Fault.failed(503) if is_down[0] else Sighted()(request)

    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path, script) as (_, models), room(settings, models_file=models):
        await eventually(lambda: living(bus))
        await request(bus, lease())

        async def is_gone() -> bool:
            return not await living(bus) and "does not answer" in await activity(bus)

        await eventually(is_gone, 30)
        is_down[0] = False
        (event,) = await generated(bus, 2)
        assert event.num_candidates == 3
        await eventually(lambda: living(bus))
    assert await list_dead(bus) == []


async def test_a_model_that_nobody_serves_is_told_and_burns_no_further_money(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))

    def script(request: ChatRequest) -> str | Fault:
        return Fault.failed(404) if request.model == "solver" else Sighted()(request)

    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path, script) as (llm, models), room(settings, models_file=models):
        await eventually(lambda: living(bus))
        await request(bus, lease())
        (event,) = await generated(bus, 2)

        async def is_gone() -> bool:
            return not await living(bus) and "solve: the endpoint 'test'" in await activity(bus)

        await eventually(is_gone)
        assert "does not know the model 'solver'" in await activity(bus)
        num_asked = len(llm.requests)
        await request(bus, lease("l2"))
        await asyncio.sleep(0.5)
        assert (event.num_candidates, len(llm.requests)) == (0, num_asked), "the next lease waits, and is not paid for"


async def test_a_spent_budget_answers_leases_with_what_there_is_and_says_so(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(replace(run_spec("r1"), spending=SpendingSpec(max_calls=12)))
    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path) as (llm, models), room(settings, models_file=models):
        await request(bus, lease("l1"))
        await request(bus, lease("l2"))
        events = await generated(bus, 4)

        async def says_so() -> bool:
            return "budget of run r1" in await activity(bus)

        await eventually(says_so)
        assert len(llm.requests) <= 12
    assert sum(event.num_candidates for event in events) < 6
    assert sum(spend.num_calls for event in events for spend in event.spent) <= 12


async def test_candidates_that_a_crash_left_unsaid_are_announced_at_the_next_start_also_without_models(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path) as (_, models), room(settings, models_file=models):
        await request(bus, lease())
        before = await generated(bus, 2)
    # A deleted stream has forgotten the event and its id, as if the room had died before it spoke.
    await bus.js.delete_stream("SPIRAL_WORK")
    await bus.declare_streams()
    async with room(settings):
        assert await generated(bus, 1) == before


async def test_previews_are_paid_from_a_budget_of_their_own(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    async with (
        fill(settings, tmp_path, PICTURES),
        scripted(tmp_path) as (llm, models),
        room(settings, models_file=models, preview_max_calls=10),
    ):
        await eventually(lambda: living(bus))
        (entry,) = await living(bus)
        async with grpc.aio.insecure_channel(entry.grpc_address) as channel:
            stub = generator_pb2_grpc.GeneratorServiceStub(channel)
            asked = generator_pb2.GenerateCandidatesRequest(cell=to_wire(CELL), num_candidates=2, seed=3, difficulty=0.5, image_size_px=160)
            first = [from_wire(Candidate, response.candidate) async for response in stub.GenerateCandidates(asked)]
            again = [from_wire(Candidate, response.candidate) async for response in stub.GenerateCandidates(asked)]
            assert [one.candidate_id for one in first] == [one.candidate_id for one in again] and len(first) == 2
            assert all(is_true(candidate) for candidate in first)
            asked.seed = 4
            with pytest.raises(grpc.aio.AioRpcError, match="SPIRAL_PREVIEW_MAX") as refusal:
                _ = [response async for response in stub.GenerateCandidates(asked)]
            assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert len(llm.requests) == 10
            asked.num_candidates = 9
            with pytest.raises(grpc.aio.AioRpcError, match="must be 1 to 8"):
                _ = [response async for response in stub.GenerateCandidates(asked)]


async def test_a_replica_that_drains_finishes_what_it_holds_or_hands_it_back(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    slow = asyncio.Event()

    def script(request: ChatRequest) -> str | Fault:
        answer = Sighted()(request)
        return Fault.late(answer, delay_s=0.2) if not slow.is_set() else Fault.late(answer, delay_s=3.0)

    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path, script, timeout_s=20.0) as (llm, models):
        async with room(settings, models_file=models) as (task, _):
            await eventually(lambda: living(bus))
            await request(bus, lease())

            async def is_at_work() -> bool:
                return bool(llm.requests)

            await eventually(is_at_work)
            (entry,) = await living(bus)
            async with grpc.aio.insecure_channel(entry.grpc_address) as channel:
                stub = generator_pb2_grpc.GeneratorServiceStub(channel)
                assert (await stub.Drain(generator_pb2.DrainRequest())).num_open_leases == 1
            assert await asyncio.wait_for(task, 20) == 0
        assert [event.num_candidates for event in await generated(bus, 2)] == [3]
        slow.set()
        num_asked = len(llm.requests)
        async with room(settings, models_file=models, grace_s=0.2) as (task, stop):
            await request(bus, lease("l2"))

            async def is_at_it_again() -> bool:
                return len(llm.requests) > num_asked

            await eventually(is_at_it_again)
            stop.set()
            assert await asyncio.wait_for(task, 20) == 0
        slow.clear()
        async with room(settings, models_file=models):
            assert [event.lease.lease_id for event in await generated(bus, 4)] == ["l1", "l2"]
    assert await living(bus) == []


async def test_what_it_cannot_make_becomes_a_dead_letter(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with fill(settings, tmp_path, PICTURES), scripted(tmp_path) as (_, models), room(settings, models_file=models):
        await request(bus, lease("hard", difficulty=7.0))
        await request(bus, lease("many", num_candidates=20))
        (event,) = await generated(bus, 3)

        async def is_dead() -> bool:
            return len(await list_dead(bus)) == 1

        await eventually(is_dead)
    assert (event.lease.lease_id, event.num_candidates) == ("many", 6), "of eight at most, and there are six maps"


async def test_a_models_file_that_is_wrong_ends_the_room_with_the_reason(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    models = tmp_path / "models.toml"
    models.write_text("[roles]\nask = 'nobody'\n")
    own = AgenticSettings.model_validate(settings.model_dump() | {"models_file": models})
    assert await run(Room.GENERATORS, own, build, asyncio.Event()) == 2
