"""A small run's events and exam answers, as a report finds them: one round that is promoted, one that is not."""

from random import Random

from services.cli.report_build import Recorded
from shared import events as e
from shared.domain import (
    ArtifactRef,
    Cell,
    CellQuota,
    ClosingReason,
    EndReason,
    GeneratorIdentity,
    ImageCategory,
    Interval,
    Lease,
    ModelVersion,
    PairedComparison,
    QuestionType,
    Recipe,
    RejectionReason,
    Strategy,
    Verdict,
)
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, RunSpec, TrainingSpec
from shared.tables import AnswerRow

CATEGORIES = (
    ImageCategory.CHART_GRAPH,
    ImageCategory.DIAGRAM,
    ImageCategory.EVERYDAY_OBJECT,
    ImageCategory.GEOMETRIC,
    ImageCategory.MAP,
    ImageCategory.MATH_FORMULA,
    ImageCategory.NATURAL_SCENE,
    ImageCategory.TEXT_DENSE,
)
CELLS = tuple(Cell(category, kind) for category in CATEGORIES for kind in QuestionType)
REF = ArtifactRef("spiral://runs/demo/x", "ab" * 32, 10)
RUN = "demo"
SPEC = RunSpec(RUN, 1_790_000_000_000_000_000, 7, 2, REF, REF, REF, EvaluationSpec(), PlanningSpec(), QualitySpec(), TrainingSpec())


def model(iteration: int) -> ModelVersion:
    return ModelVersion(f"{RUN}/{iteration}", iteration, REF, f"{RUN}/{iteration - 1}" if iteration else "")


def exam_answers(iteration: int, per_cell: int = 40) -> list[AnswerRow]:
    """Each cell has its own base rate; iteration 1 gains, iteration 2 gains no more."""
    rng = Random("exam")
    rows = []
    for index, cell in enumerate(CELLS):
        for number in range(per_cell):
            skill = 0.15 + 0.7 * (index % 7) / 6 + (0.14 if iteration else 0.0)
            outcome = "correct" if rng.random() < skill else ("ungradable" if rng.random() < 0.1 else "incorrect")
            error = None
            rows.append(AnswerRow(f"exam-{index}-{number}", "exam", cell, 0, True, "7", "7", "8", outcome, error))
    return rows


def records() -> list[Recorded]:
    """The events in stream order, seconds apart."""
    rng = Random("events")
    clock = SPEC.created_at_ns
    found: list[Recorded] = []

    def say(event: e.Event, after_s: float) -> None:
        nonlocal clock
        clock += int(after_s * 1e9)
        found.append(Recorded(event, clock))

    comparison = PairedComparison(f"{RUN}/0", 480, 0.11, Interval(0.07, 0.15, 0.95), 1e-6, ())
    for iteration in range(3):
        if iteration:
            champion = model(min(iteration - 1, 1))
            weights = [rng.random() + 0.2 for _ in CELLS]
            quotas = tuple(
                CellQuota(cell, round(2000 * weight / sum(weights)), weight / sum(weights), list(Recipe)[number % 5 == 0])
                for number, (cell, weight) in enumerate(zip(CELLS, weights, strict=True))
            )
            total = sum(quota.num_samples for quota in quotas)
            say(e.MixturePlanned(RUN, iteration, champion, Strategy.LEARNABILITY, quotas, total, 6000, 0.2), 0.1)
            for quota in quotas:
                lease_id = f"{RUN}.{iteration}.{quota.cell.category}.{quota.cell.question_type}.1"
                lease = Lease(lease_id, quota.cell, quota.recipe, "rendered", 1, 64, 50, 1, 0.5, 64, champion)
                maker = GeneratorIdentity("rendered", "1.0.0", "a")
                say(e.GenerationRequested(RUN, iteration, lease), 0.01)
                say(e.CandidatesGenerated(RUN, iteration, lease, REF, 64, maker), 0.5)
                verdicts = tuple(
                    Verdict(f"{index:064x}", is_accepted, None if is_accepted else rng.choice(list(RejectionReason)[3:12]), "")
                    for index in range(quota.num_samples * 3 // 2)
                    for is_accepted in [index < quota.num_samples]
                )
                say(e.CandidatesReviewed(RUN, iteration, lease, REF, verdicts, maker), 0.8)
            say(e.PlanClosed(RUN, iteration, ClosingReason.QUOTAS_MET, (), (), champion, 0.2), 0.1)
            say(e.DatasetReady(RUN, iteration, REF, champion, total, (), 0.2), 1)
            say(e.TrainingProgressed(RUN, iteration, "t", Recipe.TEACH, 300, 300, 0.412, 190.0), 60)
            say(e.TrainingProgressed(RUN, iteration, "t", Recipe.REINFORCE, 20, 20, 0.02, 150.0, 0.6, 0.58), 12)
        say(e.ModelUpdated(RUN, iteration, model(iteration), REF if iteration else None), 2)
        say(e.EvaluationCompleted(RUN, iteration, model(iteration), REF, REF, 1920, 5760, 40, 0, "tpl"), 15)
        say(e.WeaknessReport(RUN, iteration, model(iteration), REF, ()), 0.4)
        is_promoted = iteration < 2
        explanation = (
            "gain +11.0 points (95 % +7.0 to +15.0) on 480 core probes" if iteration else "the base model is champion without a test"
        )
        say(
            e.ModelPromoted(
                RUN, iteration, model(min(iteration, 1)), model(iteration), is_promoted, explanation, comparison if iteration else None
            ),
            0.2,
        )
    say(e.RunFinished(RUN, 2, EndReason.ITERATIONS_DONE, model(1), "2 iterations are done; demo/1 is the champion"), 0.1)
    return found
