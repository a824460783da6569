"""From a run's events and exam answers to a report: pure, so that a report can be made again at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.cli.report_exams import comparison_of, exams_of
from services.cli.report_labels import labels_of
from services.cli.report_model import Champion, Report, RunSummary
from services.cli.report_rounds import rounds_of
from services.cli.report_spending import kinds_of, spending_of
from services.cli.room_times import room_times
from shared import events as e
from shared.domain import Spend
from shared.run_spec import RunSpec
from shared.tables import AnswerRow


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and when the stream stored it (Unix epoch)."""

    event: e.Event
    stored_at_ns: int


def build_report(
    spec: RunSpec, records: Sequence[Recorded], answers: Mapping[int, Sequence[AnswerRow]], spent: Sequence[Spend] = ()
) -> Report:
    """The report of a run as far as it got.

    Args:
        spec: what was asked for.
        records: the run's events in stream order, without repetitions.
        answers: exam answers by iteration.
        spent: what counts against the run's budget, by role; empty where no budget was kept.
    """
    events = [record.event for record in records]
    promotions = {event.iteration: event for event in events if isinstance(event, e.ModelPromoted)}
    exams = exams_of(events, answers)
    kinds = kinds_of(events)
    # People may look at labels long after the run.
    times_ns = [record.stored_at_ns for record in records if not isinstance(record.event, e.LabelAudited)]
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
            total_s=(times_ns[-1] - times_ns[0]) / 1e9 if times_ns else 0.0,
        ),
        champion=None
        if champion is None
        else Champion(
            model_id=champion.model_id,
            iteration=champion.iteration,
            checkpoint=champion.checkpoint.uri,
            why=tuple(_why(promotions[iteration]) for iteration in sorted(promotions)),
        ),
        comparison=comparison_of(exams, answers, champion.iteration if champion else None),
        exams=exams,
        rounds=rounds_of(events),
        rooms=room_times([(record.event, record.stored_at_ns) for record in records]),
        labels=labels_of(events, spec.quality.min_label_precision),
        spending=spending_of(events, spent, spec.spending, num_accepted=sum(kind.accepted for kind in kinds)),
        kinds=kinds,
    )


def _why(promotion: e.ModelPromoted) -> str:
    verdict = "promoted" if promotion.is_promoted else "not promoted"
    return f"iteration {promotion.iteration}: {promotion.explanation or verdict}"
