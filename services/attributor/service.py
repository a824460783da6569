"""The attributor's handler, its gRPC service and what it says again after a crash."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc.aio
from spiral.v1 import attributor_pb2, attributor_pb2_grpc, events_pb2, types_pb2

from services.attributor.comparison import compare
from services.attributor.diagnosis import diagnose
from services.attributor.settings import AttributorSettings
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, CellDiagnosis, PairedComparison
from shared.errors import NotFound, Rejected
from shared.events import EvaluationCompleted, Event, WeaknessReport
from shared.ports import Cause, Delivery
from shared.run_spec import RunSpec
from shared.service import Ports, Service, Servicer
from shared.tables import AnswerRow, read_answers
from shared.wire import from_wire, to_wire
from shared.wire_json import from_json, to_json

REPORT_FILE = "report.json"
ANSWERS_FILE = "answers.parquet"


def diagnosis_name(run_id: str, iteration: int) -> str:
    """The manifest of an iteration's diagnosis."""
    return f"runs/{run_id}/{iteration}/diagnosis"


class Attributor:
    """Attributes failures to cells. Reads answers to core and fresh probes; the exam's answers lie in a file that it never opens."""

    def __init__(self, ports: Ports, *, interval_level: float, false_discovery_rate: float) -> None:
        self._ports = ports
        self._level = interval_level
        self._false_discovery_rate = false_discovery_rate

    async def on_evaluation_completed(self, event: EvaluationCompleted, delivery: Delivery) -> Sequence[Event]:
        """Diagnoses a model's answers, compares them with its parent's, commits the report, then says it.

        Raises:
            Rejected: the answers are malformed or empty, or there is nothing to compare.
            NotFound: the parent was never evaluated.
        """
        artifacts = self._ports.artifacts
        name = diagnosis_name(event.run_id, event.iteration)
        standing = await artifacts.find(name)
        if standing is None:
            self._ports.activity.report("diagnosing", run_id=event.run_id)
            try:
                report = await self._report(event)
                text = json.dumps(to_json(report), indent=1).encode()
                standing = await artifacts.commit(name, {REPORT_FILE: await artifacts.put_bytes(text)}, cause=delivery.cause)
            finally:
                self._ports.activity.report("")
        return [await announcement(artifacts, standing)]

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """Every committed diagnosis of a run, with its announcement."""
        artifacts, said = self._ports.artifacts, list[tuple[Cause, Sequence[Event]]]()
        for iteration in range(spec.num_iterations + 1):
            ref = await artifacts.find(diagnosis_name(spec.run_id, iteration))
            if ref is not None:
                said.append(((await artifacts.manifest(ref)).cause, [await announcement(artifacts, ref)]))
        return said

    async def examine(
        self, answers: ArtifactRef, parent: ArtifactRef | None, baseline_model_id: str
    ) -> tuple[tuple[CellDiagnosis, ...], PairedComparison | None]:
        """The diagnosis of some answers, and their comparison with those of a parent where there is one.

        Raises:
            Rejected: a file is malformed or holds no answer, or the two share no core probe.
            NotFound: a file does not stand in the store.
        """
        rows = await self._read(answers)
        parent_rows = await self._read(parent) if parent else None

        def work() -> tuple[tuple[CellDiagnosis, ...], PairedComparison | None]:
            cells = diagnose(rows, level=self._level, false_discovery_rate=self._false_discovery_rate)
            if parent_rows is None:
                return cells, None
            return cells, compare(parent_rows, rows, baseline_model_id=baseline_model_id, level=self._level)

        return await asyncio.to_thread(work)

    async def _report(self, event: EvaluationCompleted) -> WeaknessReport:
        parent_id = event.model.parent_model_id
        parent = await self._answers_of(parent_id) if parent_id else None
        cells, comparison = await self.examine(event.answers, parent, parent_id)
        return WeaknessReport(event.run_id, event.iteration, event.model, event.answers, cells, comparison)

    async def _answers_of(self, model_id: str) -> ArtifactRef:
        run_id, _, iteration = model_id.rpartition("/")
        if not run_id or not iteration.isdigit():
            raise Rejected(f"parent model {model_id!r}: a model id is RUN/ITERATION")
        evaluation = await self._ports.artifacts.find(f"runs/{run_id}/{iteration}/evaluation")
        if evaluation is None:
            raise NotFound(f"parent model {model_id} was never evaluated: runs/{run_id}/{iteration}/evaluation does not stand in the store")
        return (await self._ports.artifacts.manifest(evaluation)).files[ANSWERS_FILE]

    async def _read(self, answers: ArtifactRef) -> list[AnswerRow]:
        payload = await self._ports.artifacts.read_bytes(answers)
        return await asyncio.to_thread(read_answers, payload, f"answers ({answers.uri})")


async def announcement(artifacts: Artifacts, diagnosis: ArtifactRef) -> WeaknessReport:
    """What a committed diagnosis has to say, from its manifest alone; always the same."""
    report = await artifacts.read_bytes((await artifacts.manifest(diagnosis)).files[REPORT_FILE])
    return from_json(WeaknessReport, json.loads(report))


class AttributorServicer(attributor_pb2_grpc.AttributorServiceServicer):
    """What-if diagnosis, over gRPC."""

    def __init__(self, attributor: Attributor) -> None:
        self._attributor = attributor

    async def Diagnose(  # noqa: N802
        self, request: attributor_pb2.DiagnoseRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> attributor_pb2.DiagnoseResponse:
        """Diagnoses graded answers without publishing anything."""
        if not request.HasField("answers"):
            raise Rejected("answers is missing: name a Parquet file of graded answers in the store")
        parent = from_wire(ArtifactRef, request.parent_answers) if request.HasField("parent_answers") else None
        cells, comparison = await self._attributor.examine(from_wire(ArtifactRef, request.answers), parent, "parent")
        response = attributor_pb2.DiagnoseResponse(cells=[cast(events_pb2.CellDiagnosis, to_wire(cell)) for cell in cells])
        if comparison is not None:
            response.comparison.CopyFrom(cast(types_pb2.PairedComparison, to_wire(comparison)))
        return response


@asynccontextmanager
async def build(ports: Ports, settings: AttributorSettings) -> AsyncIterator[Service]:
    """The attributor, ready to run."""
    attributor = Attributor(ports, interval_level=settings.interval_level, false_discovery_rate=settings.false_discovery_rate)
    add = attributor_pb2_grpc.add_AttributorServiceServicer_to_server
    yield Service(
        handlers={EvaluationCompleted: attributor.on_evaluation_completed},
        servicers=(Servicer("spiral.v1.AttributorService", add, AttributorServicer(attributor)),),
        reconcile=attributor.reconcile,
    )
