"""Label precision as people found it, for the report. Pure."""

from collections.abc import Sequence

from services.cli.audit_labels import LabelCounts, label_counts, last_words, overall
from services.cli.report_model import CellLabels, LabelAudit, LabelScore
from shared import events as e


def labels_of(events: Sequence[e.Event], min_precision: float) -> LabelAudit | None:
    """What people said of the run's labels so far; None where nobody looked."""
    last = last_words(event for event in events if isinstance(event, e.LabelAudited))
    if not last:
        return None
    counts = label_counts(last)
    mixtures = [event for event in events if isinstance(event, e.MixturePlanned)]
    return LabelAudit(
        min_precision=min_precision,
        score=_score(overall(counts.values())),
        cells=tuple(CellLabels(cell, _score(of), of.is_below(min_precision)) for cell, of in counts.items()),
        held_back=max(mixtures, key=lambda event: event.iteration).held_back if mixtures else (),
    )


def _score(counts: LabelCounts) -> LabelScore:
    return LabelScore(
        audited=counts.num_audited,
        correct=counts.num_correct,
        wrong=counts.num_wrong,
        unsure=counts.num_unsure,
        precision=counts.precision,
        interval=counts.interval,
    )
