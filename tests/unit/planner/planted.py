"""Diagnoses with planted figures."""

from collections.abc import Iterable
from dataclasses import replace

from services.planner.routing import Offer
from shared.domain import ArtifactRef, Cell, CellDiagnosis, ImageCategory, Interval, ModelVersion, QuestionType
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, RunSpec, TrainingSpec

CELLS = tuple(Cell(category, question_type) for category in ImageCategory for question_type in QuestionType)
REF = ArtifactRef("spiral://blobs/sha256/00/00", "0" * 64, 1)
BASE = ModelVersion("run/0", 0, REF)


def diagnosed(cell: Cell, num_correct: int, num_answers: int = 100) -> CellDiagnosis:
    """A cell's diagnosis under a uniform prior."""
    a, b = num_correct + 1, num_answers - num_correct + 1
    return CellDiagnosis(
        cell=cell,
        num_probes=num_answers,
        num_answers=num_answers,
        num_correct=num_correct,
        num_ungradable=0,
        pass_rate=a / (a + b),
        interval=Interval(0.0, 1.0, 0.95),
        learnability=a * b / ((a + b) * (a + b + 1)),
        p_value=0.5,
        adjusted_p_value=0.5,
        is_weak=False,
        errors=(),
    )


def routes(**kinds: Iterable[Cell]) -> dict[Cell, tuple[Offer, ...]]:
    """Who takes which cells' leases: each kind the cells that it serves, at the same cost, without limits."""
    cells = {cell for served in kinds.values() for cell in served}
    return {cell: tuple(Offer(kind) for kind, served in kinds.items() if cell in served) for cell in cells}


def run_spec(num_iterations: int = 3, **planning: object) -> RunSpec:
    """A run's specification with the given planning values."""
    return RunSpec(
        run_id="run",
        created_at_ns=1,
        seed=7,
        num_iterations=num_iterations,
        base_checkpoint=REF,
        probes=REF,
        exam=REF,
        evaluation=EvaluationSpec(),
        planning=replace(PlanningSpec(), **planning),  # type: ignore[arg-type]
        quality=QualitySpec(),
        training=TrainingSpec(),
    )
