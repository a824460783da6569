"""From a run's events and exam answers to a report: pure, so that a report can be made again at any time."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.cli.report_model import (
    CellDifference,
    CellMixture,
    CellScore,
    Champion,
    Exam,
    ExamComparison,
    Report,
    Round,
    RunSummary,
    TrainingStage,
)
from services.cli.room_times import room_times
from services.cli.statistics import macro_difference, macro_interval, mean_difference
from shared import events as e
from shared.domain import Cell, Recipe
from shared.intervals import wilson
from shared.run_spec import RunSpec
from shared.tables import AnswerRow

STAGES: tuple[tuple[type[e.Event], str], ...] = (
    (e.MixturePlanned, "generating"),
    (e.PlanClosed, "sealing"),
    (e.DatasetReady, "training"),
    (e.ModelUpdated, "evaluating"),
    (e.EvaluationCompleted, "diagnosing"),
    (e.WeaknessReport, "deciding"),
    (e.ModelPromoted, "done"),
)
"""An iteration's stage is what follows the latest of these events."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and when the stream stored it (Unix epoch)."""

    event: e.Event
    stored_at_ns: int


def build_report(spec: RunSpec, records: Sequence[Recorded], answers: Mapping[int, Sequence[AnswerRow]]) -> Report:
    """The report of a run as far as it got.

    Args:
        spec: what was asked for.
        records: the run's events in stream order, without repetitions.
        answers: exam answers by iteration.
    """
    events = [record.event for record in records]
    promotions = {event.iteration: event for event in events if isinstance(event, e.ModelPromoted)}
    exams = tuple(_exam(event, answers[event.iteration], promotions) for event in _evaluations(events) if event.iteration in answers)
    finished = next((event for event in events if isinstance(event, e.RunFinished)), None)
    latest = promotions[max(promotions)] if promotions else None
    champion = finished.champion if finished else (latest.champion if latest else None)
    return Report(
        run=RunSummary(
            run_id=spec.run_id,
            seed=spec.seed,
            num_iterations=spec.num_iterations,
            strategy=spec.planning.strategy.value,
            created_at_ns=spec.created_at_ns,
            state="finished" if finished else "running",
            end_reason=finished.reason.value if finished else "",
            explanation=finished.explanation if finished else "",
            total_s=(records[-1].stored_at_ns - records[0].stored_at_ns) / 1e9 if records else 0.0,
        ),
        champion=None
        if champion is None
        else Champion(
            model_id=champion.model_id,
            iteration=champion.iteration,
            checkpoint=champion.checkpoint.uri,
            why=tuple(_why(promotions[iteration]) for iteration in sorted(promotions)),
        ),
        comparison=_comparison(exams, answers, champion.iteration if champion else None),
        exams=exams,
        rounds=tuple(_round(iteration, events) for iteration in _rounds(events)),
        rooms=room_times([(record.event, record.stored_at_ns) for record in records]),
    )


def stage_of(iteration: int, events: Iterable[e.Event]) -> str:
    """What an iteration is at; "waiting" before its first event."""
    seen = {type(event) for event in events if event.iteration == iteration}
    reached = [stage for kind, stage in STAGES if kind in seen]
    return reached[-1] if reached else "waiting"


def exam_scores(rows: Sequence[AnswerRow]) -> tuple[CellScore, ...]:
    """Each cell's score on the greedy answers, cells in order."""
    outcomes: dict[Cell, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.is_greedy:
            outcomes[row.cell][row.outcome] += 1
    scores = []
    for cell in sorted(outcomes):
        counts = outcomes[cell]
        n = counts["correct"] + counts["incorrect"] + counts["ungradable"]
        scores.append(
            CellScore(
                cell=cell,
                n=n,
                correct=counts["correct"],
                ungradable=counts["ungradable"],
                failed=counts["failed"],
                rate=counts["correct"] / n if n else 0.0,
                interval=wilson(counts["correct"], n),
            )
        )
    return tuple(scores)


def _evaluations(events: Iterable[e.Event]) -> list[e.EvaluationCompleted]:
    found = {event.iteration: event for event in events if isinstance(event, e.EvaluationCompleted)}
    return [found[iteration] for iteration in sorted(found)]


def _rounds(events: Iterable[e.Event]) -> list[int]:
    return sorted({event.iteration for event in events if isinstance(event, e.MixturePlanned)})


def _exam(evaluation: e.EvaluationCompleted, rows: Sequence[AnswerRow], promotions: Mapping[int, e.ModelPromoted]) -> Exam:
    cells = exam_scores(rows)
    answered = [cell for cell in cells if cell.n]
    promotion = promotions.get(evaluation.iteration)
    return Exam(
        iteration=evaluation.iteration,
        model_id=evaluation.model.model_id,
        parent=evaluation.model.parent_model_id,
        is_champion=evaluation.iteration == 0 if promotion is None else promotion.is_promoted,
        macro=sum(cell.rate for cell in answered) / len(answered) if answered else 0.0,
        interval=macro_interval([(cell.correct, cell.n) for cell in cells]),
        cells=cells,
    )


def _comparison(exams: Sequence[Exam], answers: Mapping[int, Sequence[AnswerRow]], champion: int | None) -> ExamComparison | None:
    models = {exam.iteration: exam.model_id for exam in exams}
    # The base model against itself is no comparison.
    if not champion or champion not in models or 0 not in models:
        return None
    pairs = paired_differences(answers[0], answers[champion])
    if not pairs:
        return None
    gain, interval = macro_difference(list(pairs.values()))
    cells = []
    for cell, differences in pairs.items():
        cell_gain, cell_interval = mean_difference(differences)
        cells.append(CellDifference(cell, len(differences), differences.count(1), differences.count(-1), cell_gain, cell_interval))
    return ExamComparison(models[0], models[champion], sum(map(len, pairs.values())), gain, interval, tuple(cells))


def paired_differences(baseline: Sequence[AnswerRow], challenger: Sequence[AnswerRow]) -> dict[Cell, list[int]]:
    """For each cell, challenger minus baseline (1 gained, -1 lost) on the probes that both were asked, greedily."""
    before = {row.probe_id: row for row in baseline if row.is_greedy and row.outcome != "failed"}
    pairs: dict[Cell, list[int]] = defaultdict(list)
    for row in challenger:
        if row.is_greedy and row.outcome != "failed" and row.probe_id in before:
            pairs[row.cell].append(int(row.outcome == "correct") - int(before[row.probe_id].outcome == "correct"))
    return dict(sorted(pairs.items()))


def _round(iteration: int, events: Sequence[e.Event]) -> Round:
    mine = [event for event in events if event.iteration == iteration]
    plan = next(event for event in mine if isinstance(event, e.MixturePlanned))
    reviews = list({event.lease.lease_id: event for event in mine if isinstance(event, e.CandidatesReviewed)}.values())
    closed = next((event for event in mine if isinstance(event, e.PlanClosed)), None)
    dataset = next((event for event in mine if isinstance(event, e.DatasetReady)), None)
    promotion = next((event for event in mine if isinstance(event, e.ModelPromoted)), None)
    comparison = promotion.comparison if promotion else None
    mixture = tuple(
        _cell_mixture(quota.cell, quota.weight, quota.num_samples, quota.recipe, reviews)
        for quota in sorted(plan.quotas, key=lambda quota: quota.cell)
    )
    return Round(
        iteration=iteration,
        stage=stage_of(iteration, mine),
        strategy=plan.strategy.value,
        mixture=mixture,
        candidates=sum(cell.candidates for cell in mixture),
        accepted=sum(cell.accepted for cell in mixture),
        rejected=dict(sum((Counter(cell.rejected) for cell in mixture), Counter[str]()).most_common()),
        closing_reason=closed.reason.value if closed else "",
        dataset_samples=dataset.num_samples if dataset else 0,
        replay_share=dataset.replay_share if dataset else plan.replay_share,
        training=_training(event for event in mine if isinstance(event, e.TrainingProgressed)),
        is_promoted=promotion.is_promoted if promotion else None,
        explanation=promotion.explanation if promotion else "",
        core_gain=comparison.macro_gain if comparison else None,
        core_interval=comparison.interval if comparison else None,
    )


def _cell_mixture(cell: Cell, weight: float, wanted: int, recipe: Recipe, reviews: Sequence[e.CandidatesReviewed]) -> CellMixture:
    verdicts = [verdict for review in reviews if review.lease.cell == cell for verdict in review.verdicts]
    rejected = Counter(verdict.reason.value for verdict in verdicts if verdict.reason is not None)
    return CellMixture(
        cell=cell,
        weight=weight,
        wanted=wanted,
        recipe=recipe.value,
        candidates=len(verdicts),
        accepted=sum(verdict.accepted for verdict in verdicts),
        rejected=dict(rejected.most_common()),
    )


def _training(progress: Iterable[e.TrainingProgressed]) -> tuple[TrainingStage, ...]:
    last: dict[Recipe, e.TrainingProgressed] = {}
    for event in progress:
        if event.recipe not in last or event.step >= last[event.recipe].step:
            last[event.recipe] = event
    return tuple(
        TrainingStage(event.recipe.value, event.step, event.loss, event.reward, event.accuracy, event.samples_per_s)
        for event in last.values()
    )


def _why(promotion: e.ModelPromoted) -> str:
    verdict = "promoted" if promotion.is_promoted else "not promoted"
    return f"iteration {promotion.iteration}: {promotion.explanation or verdict}"
