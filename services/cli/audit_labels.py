"""What people said of labels, counted: label precision by cell. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.domain import AuditVerdict, Cell, Interval
from shared.events import LabelAudited
from shared.intervals import wilson


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Audited labels; those that nobody was sure of count in neither way."""

    num_correct: int = 0
    num_wrong: int = 0
    num_unsure: int = 0

    @property
    def num_audited(self) -> int:
        """All that somebody looked at."""
        return self.num_correct + self.num_wrong + self.num_unsure

    @property
    def precision(self) -> float | None:
        """Share of right labels among those that are called right or wrong; None where there is none."""
        num_judged = self.num_correct + self.num_wrong
        return self.num_correct / num_judged if num_judged else None

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval on the precision; all of [0, 1] where nothing is known."""
        return wilson(self.num_correct, self.num_correct + self.num_wrong)

    def is_below(self, bound: float) -> bool:
        """Whether people are sure that the precision is lower: what holds a cell back."""
        return self.interval.high < bound


def last_words(words: Iterable[LabelAudited]) -> dict[str, LabelAudited]:
    """The word that counts for each sample: the highest revision, the first of equals."""
    last: dict[str, LabelAudited] = {}
    for word in words:
        if word.sample_id not in last or last[word.sample_id].revision < word.revision:
            last[word.sample_id] = word
    return last


def label_counts(last: Mapping[str, LabelAudited]) -> dict[Cell, LabelCounts]:
    """The last words counted by cell, in the order of cells."""
    by_cell: dict[Cell, list[AuditVerdict]] = {}
    for word in last.values():
        by_cell.setdefault(word.cell, []).append(word.verdict)
    return {cell: _counted(by_cell[cell]) for cell in sorted(by_cell)}


def overall(counts: Iterable[LabelCounts]) -> LabelCounts:
    """All cells together, each label counting the same."""
    known = list(counts)
    return LabelCounts(
        num_correct=sum(cell.num_correct for cell in known),
        num_wrong=sum(cell.num_wrong for cell in known),
        num_unsure=sum(cell.num_unsure for cell in known),
    )


def _counted(verdicts: list[AuditVerdict]) -> LabelCounts:
    return LabelCounts(
        *(verdicts.count(verdict) for verdict in (AuditVerdict.CORRECT, AuditVerdict.WRONG, AuditVerdict.UNSURE)),
    )
