"""Quality rooms on a real broker, an evaluator behind gRPC, and leases whose candidates repeat each other's pictures."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import grpc.aio
from spiral.v1 import evaluator_pb2, evaluator_pb2_grpc

from services.quality.acceptance_log import BUCKET
from services.quality.records import announcement, is_review
from services.quality.service import build
from services.quality.settings import QualitySettings
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.domain import Candidate, Cell, GeneratorIdentity, ImageCategory, Lease, QuestionType, Recipe
from shared.events import CandidatesGenerated, CandidatesReviewed
from shared.presence import present
from shared.publisher import publish_event
from shared.rpc import RpcServer
from shared.run_spec import RunSpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.service import Servicer
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import write_candidates, write_probes
from tests.examples import CAUSE, model, run_spec
from tests.rooms import eventually
from tests.unit.quality.suspects import candidate, drawing, encoded, scene

GENERATOR = GeneratorIdentity("rendered", "1.0.0", "replica-a")
CELLS = [Cell(category, QuestionType.NUMERIC) for category in ImageCategory]


class HalfSolved(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Solves half of every question's rollouts, in its own time."""

    def __init__(self) -> None:
        self.pause = Random(1)
        self.num_asked = 0

    async def SampleAnswers(  # noqa: N802
        self, request: evaluator_pb2.SampleAnswersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[evaluator_pb2.SampleAnswersResponse]:
        self.num_asked += 1
        await asyncio.sleep(self.pause.random() * 0.05)
        for question in request.questions:
            half = request.num_rollouts // 2
            yield evaluator_pb2.SampleAnswersResponse(question_id=question.question_id, num_rollouts=request.num_rollouts, num_correct=half)


@dataclass
class QualityStage:
    """A broker, a store and an evaluator for quality rooms; remembers which pictures each lease was given."""

    bus: Bus
    settings: QualitySettings
    artifacts: Artifacts
    evaluator: HalfSolved
    spec: RunSpec
    numbers: dict[str, list[int]] = field(default_factory=dict)

    @asynccontextmanager
    async def rooms(self, num: int = 1, **changes: object) -> AsyncIterator[None]:
        """Some replicas of quality until the block is left."""
        stop = asyncio.Event()
        each = [self.settings.model_copy(update={"instance_id": f"replica-{number}", **changes}) for number in range(num)]
        tasks = [asyncio.create_task(run(Room.QUALITY, settings, build, stop)) for settings in each]

        async def are_serving() -> bool:
            found = {one.instance_id for one in await present(self.bus) if one.room == "quality" and one.state == "serving"}
            return found >= {settings.instance_id for settings in each} or any(task.done() for task in tasks)

        try:
            await eventually(are_serving)
            yield
        finally:
            stop.set()
            assert await asyncio.wait_for(asyncio.gather(*tasks), 30) == [0] * num

    async def generate(self, asked_for: Lease, candidates: Sequence[Candidate], run_id: str = "r1", *, why: str = "") -> None:
        """Announces a lease's candidates."""
        ref = await self.artifacts.put_bytes(write_candidates(candidates))
        event = CandidatesGenerated(run_id, 1, asked_for, ref, len(candidates), GENERATOR)
        await publish_event(self.bus, Room.GENERATORS, replace(CAUSE, event_id=why or asked_for.lease_id), event)

    async def generate_dots(self, asked_for: Lease, numbers: Sequence[int], run_id: str = "r1") -> None:
        """Announces a lease's candidates by the numbers of their pictures."""
        self.numbers[asked_for.lease_id] = list(numbers)
        await self.generate(asked_for, [dots(number, asked_for) for number in numbers], run_id)

    async def reviews(self, run_id: str = "r1") -> dict[str, CandidatesReviewed]:
        """The committed reviews of a run, by lease."""
        found = {}
        for name in await self.artifacts.names(f"runs/{run_id}/"):
            if is_review(name) and (ref := await self.artifacts.find(name)):
                review = await announcement(self.artifacts, ref)
                found[review.lease.lease_id] = review
        return found

    async def reviewed(self, num: int, run_id: str = "r1", timeout_s: float = 40.0) -> dict[str, CandidatesReviewed]:
        """The committed reviews once there are so many."""

        async def are_there() -> bool:
            return len([name for name in await self.artifacts.names(f"runs/{run_id}/") if is_review(name)]) >= num

        await eventually(are_there, timeout_s)
        return await self.reviews(run_id)

    async def entries(self, run_id: str = "r1") -> list[str]:
        """The keys of a run's log but for its head."""
        return [key for key in await (await self.bus.bucket(BUCKET)).keys(f"{run_id}.") if not key.endswith(".0")]

    def accepted_twice(self, reviews: Mapping[str, CandidatesReviewed]) -> list[tuple[int, str, str]]:
        """Pictures that two reviews accepted."""
        shown: dict[int, str] = {}
        twice = []
        for lease_id, review in sorted(reviews.items()):
            for number, verdict in zip(self.numbers[lease_id], review.verdicts, strict=True):
                if verdict.accepted:
                    twice += [(number, shown[number], lease_id)] if number in shown else []
                    shown[number] = lease_id
        return twice


@asynccontextmanager
async def quality_stage(bus: Bus, settings: RoomSettings, directory: Path, **changes: object) -> AsyncIterator[QualityStage]:
    """A stage with run `r1`; `changes` are quality's own settings."""
    evaluator = HalfSolved()
    add = evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server
    server = RpcServer([Servicer("spiral.v1.EvaluatorService", add, evaluator)], host="127.0.0.1", port=0, deadline_s=20)
    port = await server.start()
    own = QualitySettings.model_validate(settings.model_dump() | {"evaluator_address": f"127.0.0.1:{port}"} | changes)
    try:
        async with open_store(own) as store:
            artifacts = Artifacts(store, cache_dir=directory / "cache", producer="cli")
            nothing = await artifacts.put_bytes(write_probes([]))
            spec = replace(run_spec("r1"), probes=nothing, exam=nothing)
            await BusRuns(bus).create(spec)
            yield QualityStage(bus, own, artifacts, evaluator, spec)
    finally:
        await server.stop(0)


def a_lease(ordinal: int = 1, cell: Cell = CELLS[0], *, recipe: Recipe = Recipe.TEACH, num_wanted: int = 5, run_id: str = "r1") -> Lease:
    lease_id = f"{run_id}.1.{cell.category.value}.{cell.question_type.value}.{ordinal}"
    return Lease(lease_id, cell, recipe, "rendered", ordinal, 40, num_wanted, ordinal, 0.5, 64, model(run_id))


def dots(number: int, asked_for: Lease) -> Candidate:
    """The picture of that number, as a candidate of a lease; each lease stores it in another way."""
    count, category = number % 7 + 1, asked_for.cell.category.value
    shown = scene(
        {"op": "count", "where": {"color": "red"}},
        *({"id": f"d{i}", "color": "red"} for i in range(count)),
        {"id": "b", "color": "blue"},
        category=category,
    )
    digest = hashlib.sha256(f"{asked_for.lease_id} {number}".encode())
    image = encoded(drawing(number), "JPEG", quality=80 + digest.digest()[0] % 15)
    return candidate(number, candidate_id=digest.hexdigest(), cell=asked_for.cell, scene=shown, image=image)
