"""From exam answers to scores and the comparison of champion and base. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from services.cli.report_model import CellDifference, CellScore, Exam, ExamComparison
from services.cli.statistics import macro_difference, macro_interval, mean_difference
from shared import events as e
from shared.domain import Cell
from shared.intervals import wilson
from shared.tables import AnswerRow


def exams_of(events: Iterable[e.Event], answers: Mapping[int, Sequence[AnswerRow]]) -> tuple[Exam, ...]:
    """Every model's exam whose answers are there, oldest first."""
    known = list(events)
    promotions = {event.iteration: event for event in known if isinstance(event, e.ModelPromoted)}
    found = {event.iteration: event for event in known if isinstance(event, e.EvaluationCompleted)}
    return tuple(_exam(found[iteration], answers[iteration], promotions) for iteration in sorted(found) if iteration in answers)


def comparison_of(exams: Sequence[Exam], answers: Mapping[int, Sequence[AnswerRow]], champion: int | None) -> ExamComparison | None:
    """Champion against base on the same exam items; None while the base model is champion."""
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


def paired_differences(baseline: Sequence[AnswerRow], challenger: Sequence[AnswerRow]) -> dict[Cell, list[int]]:
    """For each cell, challenger minus baseline (1 gained, -1 lost) on the probes that both were asked, greedily."""
    before = {row.probe_id: row for row in baseline if row.is_greedy and row.outcome != "failed"}
    pairs: dict[Cell, list[int]] = defaultdict(list)
    for row in challenger:
        if row.is_greedy and row.outcome != "failed" and row.probe_id in before:
            pairs[row.cell].append(int(row.outcome == "correct") - int(before[row.probe_id].outcome == "correct"))
    return dict(sorted(pairs.items()))


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
