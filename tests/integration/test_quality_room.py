"""Quality as a service on a real broker, with an evaluator behind gRPC and candidates of the rendered generator."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from spiral.v1 import evaluator_pb2, evaluator_pb2_grpc, quality_pb2, quality_pb2_grpc

from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.checks import Known
from services.quality.evidence import Caps
from services.quality.firewall import Firewall
from services.quality.screening import screen
from services.quality.service import build
from services.quality.settings import QualitySettings
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.dead_letters import list_dead
from shared.domain import Candidate, Cell, ClosingReason, GeneratorIdentity, Lease, Recipe, RejectionReason, Strategy
from shared.errors import NotFound, Retryable
from shared.events import CandidatesGenerated, CandidatesReviewed, DatasetReady, Event, MixturePlanned, PlanClosed
from shared.presence import present
from shared.publisher import publish_event
from shared.rpc import RpcServer, open_channel
from shared.run_spec import QualitySpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.service import Servicer
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import Probe, read_samples, write_candidates, write_probes
from shared.wire import to_wire
from tests.examples import CAUSE, model, run_spec
from tests.rooms import said, serving, settled

CELL = CELLS[0]
GENERATOR = GeneratorIdentity("rendered", "1.0.0", "replica-a")


class ScriptedEvaluator(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Solves half of every question's rollouts; first says a number of times that it is away, or has no such checkpoint."""

    def __init__(self) -> None:
        self.refusals: list[Exception] = []
        self.requests: list[evaluator_pb2.SampleAnswersRequest] = []

    async def SampleAnswers(  # noqa: N802
        self, request: evaluator_pb2.SampleAnswersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[evaluator_pb2.SampleAnswersResponse]:
        if self.refusals:
            raise self.refusals.pop()
        self.requests.append(request)
        for question in request.questions:
            yield evaluator_pb2.SampleAnswersResponse(
                question_id=question.question_id, num_rollouts=request.num_rollouts, num_correct=request.num_rollouts // 2
            )


def lease(ordinal: int = 1, recipe: Recipe = Recipe.TEACH, cell: Cell = CELL, num_wanted: int = 5) -> Lease:
    lease_id = f"r1.1.{cell.category.value}.{cell.question_type.value}.{ordinal}"
    return Lease(lease_id, cell, recipe, "rendered", ordinal, 12, num_wanted, ordinal, 0.5, 64, model("r1"))


class Stage:
    """A running quality room, its evaluator, and the other rooms' voices."""

    def __init__(self, bus: Bus, settings: QualitySettings, artifacts: Artifacts, evaluator: ScriptedEvaluator) -> None:
        self.bus = bus
        self.settings = settings
        self.artifacts = artifacts
        self.evaluator = evaluator

    async def say(self, room: Room, event: Event, why: str) -> None:
        await publish_event(self.bus, room, replace(CAUSE, event_id=why), event)

    async def generate(self, asked_for: Lease, candidates: Sequence[Candidate], run_id: str = "r1") -> None:
        ref = await self.artifacts.put_bytes(write_candidates(candidates))
        event = CandidatesGenerated(run_id, 1, asked_for, ref, len(candidates), GENERATOR)
        await self.say(Room.GENERATORS, event, f"{run_id} {asked_for.lease_id} to {asked_for.kind}")

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(run(Room.QUALITY, self.settings, build, stop))
        try:
            await serving(self.bus, Room.QUALITY)
            yield
        finally:
            stop.set()
            assert await asyncio.wait_for(task, 20) == 0


@pytest.fixture
async def stage(bus: Bus, settings: RoomSettings, tmp_path: Path) -> AsyncIterator[Stage]:
    evaluator = ScriptedEvaluator()
    add = evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server
    server = RpcServer([Servicer("spiral.v1.EvaluatorService", add, evaluator)], host="127.0.0.1", port=0, deadline_s=20)
    port = await server.start()
    own = QualitySettings.model_validate(settings.model_dump() | {"evaluator_address": f"127.0.0.1:{port}"})
    probes = [
        Probe(f"p{at}", "core", made.cell, made.image, made.question, made.choices, made.answer, made.tolerance)
        for at, made in enumerate(make_candidates(CELL, 4, 77, 0.5, 64))
    ]
    async with open_store(own) as store:
        artifacts = Artifacts(store, cache_dir=tmp_path / "cache", producer="cli")
        spec = replace(
            run_spec("r1"),
            probes=await artifacts.put_bytes(write_probes(probes[:2])),
            exam=await artifacts.put_bytes(write_probes([replace(probe, split="exam") for probe in probes[2:]])),
            quality=QualitySpec(),
        )
        await BusRuns(bus).create(spec)
        yield Stage(bus, own, artifacts, evaluator)
    await server.stop(0)


def of_type(events: Sequence[Event], wanted: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, wanted)]


async def test_from_a_mixture_to_a_sealed_dataset(stage: Stage) -> None:
    leaked = make_candidates(CELL, 4, 77, 0.5, 64)
    fresh = make_candidates(CELL, 20, 5, 0.5, 64)
    async with stage.room():
        await stage.say(Room.PLANNER, MixturePlanned("r1", 1, model("r1"), Strategy.UNIFORM, (), 8, 40, 0.0), "plan")
        await stage.generate(lease(1), [*leaked, *fresh[:8]])
        await stage.generate(lease(1, Recipe.REINFORCE, CELLS[1], 3), make_candidates(CELLS[1], 12, 6, 0.5, 64))
        reviews = of_type(await said(stage.bus, "r1", 5), CandidatesReviewed)
        by_cell = {review.lease.cell: review for review in reviews}
        assert [verdict.reason for verdict in by_cell[CELL].verdicts[:4]] == [RejectionReason.PROBE_LEAK] * 4
        assert sum(verdict.accepted for verdict in by_cell[CELL].verdicts) == 5
        assert {verdict.pass_rate for verdict in by_cell[CELLS[1]].verdicts if verdict.accepted} == {0.5}
        lease_ids = tuple(by_cell[cell].lease.lease_id for cell in CELLS[:2])
        await stage.say(Room.PLANNER, PlanClosed("r1", 1, ClosingReason.QUOTAS_MET, lease_ids, (), model("r1"), 0.0), "close")
        (ready,) = of_type(await said(stage.bus, "r1", 7), DatasetReady)
    directory = await stage.artifacts.fetch_directory(ready.dataset)
    samples = read_samples((directory / "samples.parquet").read_bytes(), "samples")
    assert Counter(sample.cell for sample in samples) == {CELL: 5, CELLS[1]: 3}
    assert ready.num_samples == 8


async def test_an_evaluator_that_is_away_delays_a_review_and_a_missing_checkpoint_ends_it(stage: Stage) -> None:
    stage.evaluator.refusals = [Retryable("loading")] * 6
    async with stage.room():
        await stage.generate(lease(1, Recipe.REINFORCE), make_candidates(CELL, 6, 5, 0.5, 64))
        (review,) = of_type(await said(stage.bus, "r1", 2), CandidatesReviewed)
        assert sum(verdict.accepted for verdict in review.verdicts) == 5
        stage.evaluator.refusals = [NotFound("no such checkpoint")]
        await stage.generate(lease(2, Recipe.REINFORCE), make_candidates(CELL, 6, 8, 0.5, 64))
        await stage.generate(lease(1), [], run_id="nobodys")
        async with asyncio.timeout(15):
            letters = await list_dead(stage.bus)
            while len(letters) < 2:
                await asyncio.sleep(0.02)
                letters = await list_dead(stage.bus)
    assert any("no such checkpoint" in letter.obituary.reason for letter in letters)
    assert len({(request.seed, len(request.questions)) for request in stage.evaluator.requests}) == 1


async def test_of_two_kinds_that_answer_one_lease_the_first_counts(stage: Stage) -> None:
    async with stage.room():
        await stage.generate(lease(1), make_candidates(CELL, 6, 5, 0.5, 64))
        await said(stage.bus, "r1", 2)
        await stage.generate(replace(lease(1), kind="agentic"), make_candidates(CELL, 12, 8, 0.5, 64))
        await settled(stage.bus)
        await stage.generate(lease(2), make_candidates(CELL, 6, 9, 0.5, 64))
        reviews = of_type(await said(stage.bus, "r1", 5), CandidatesReviewed)
    assert [(review.lease.lease_id, review.lease.kind, len(review.verdicts)) for review in reviews] == [
        (lease(1).lease_id, "rendered", 6),
        (lease(2).lease_id, "rendered", 6),
    ]


async def test_a_review_that_a_crash_left_unsaid_is_announced_at_the_next_start(stage: Stage) -> None:
    async with stage.room():
        await stage.generate(lease(1), make_candidates(CELL, 6, 5, 0.5, 64))
        (before,) = of_type(await said(stage.bus, "r1", 2), CandidatesReviewed)
    # A deleted stream has forgotten the event and its id, as if the room had died before it spoke.
    await stage.bus.js.delete_stream("SPIRAL_WORK")
    await stage.bus.declare_streams()
    async with stage.room():
        assert await said(stage.bus, "r1", 1) == [before]


async def test_candidates_are_reviewed_over_grpc_without_being_kept(stage: Stage) -> None:
    candidates = [*make_candidates(CELL, 3, 5, 0.5, 64), *make_candidates(CELL, 1, 77, 0.5, 64)]
    async with stage.room():
        (address,) = [one.grpc_address for one in await present(stage.bus) if one.room == "quality"]
        async with open_channel(address) as channel:
            quality = quality_pb2_grpc.QualityServiceStub(channel)
            request = quality_pb2.ReviewCandidatesRequest(run_id="r1", lease=to_wire(lease(1, Recipe.REINFORCE)))
            request.candidates.extend(to_wire(candidate) for candidate in candidates)
            response = await quality.ReviewCandidates(request, timeout=20)
            assert [verdict.accepted for verdict in response.verdicts] == [True, True, True, False]
            for wrong in (
                quality_pb2.ReviewCandidatesRequest(run_id="nobodys", lease=request.lease, candidates=request.candidates),
                quality_pb2.ReviewCandidatesRequest(run_id="r1", lease=request.lease),
                quality_pb2.ReviewCandidatesRequest(run_id="r1", candidates=request.candidates),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await quality.ReviewCandidates(wrong, timeout=20)
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not await stage.artifacts.names("runs/")


def test_what_the_rendered_generator_draws_passes_every_check() -> None:
    for cell in CELLS:
        for difficulty in (0.0, 0.5, 1.0):
            candidates = make_candidates(cell, 25, 3, difficulty, 64)
            screened = screen(candidates, lease(cell=cell), Caps(8_000_000, 4_194_304), Known(Firewall(), ()))
            reasons = Counter(each.refusal.reason for each in screened if each.refusal)
            refused = [each.refusal for each in screened if each.refusal]
            assert set(reasons) <= {RejectionReason.EXACT_DUPLICATE, RejectionReason.NEAR_DUPLICATE}, refused
            assert sum(reasons.values()) <= 1, refused


def test_a_wrong_label_on_any_drawn_candidate_is_noticed() -> None:
    for cell in CELLS:
        made = make_candidates(cell, 12, 3, 0.7, 64)
        swapped = [replace(candidate, answer=_another(candidate)) for candidate in made]
        screened = screen(swapped, lease(cell=cell), Caps(8_000_000, 4_194_304), Known(Firewall(), ()))
        assert {each.refusal.reason for each in screened if each.refusal} == {RejectionReason.WRONG_ANSWER}
        assert all(each.refusal for each in screened)


def _another(candidate: Candidate) -> str:
    if candidate.choices:
        return "ABCD"[("ABCD".index(candidate.answer) + 1) % len(candidate.choices)]
    return str(int(candidate.answer) + 1) if candidate.answer.isdecimal() else f"not {candidate.answer}"
