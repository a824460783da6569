"""What people said of labels, and which cells are held back for it. Pure.

A cell is held back where people are sure that its labels are worse than the run's bound: the upper end of the 95 % Wilson interval over
right and wrong labels lies below it. Labels that nobody was sure of count neither way.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.domain import AuditVerdict, Cell, Interval
from shared.events import LabelAudited
from shared.intervals import wilson


@dataclass(frozen=True, slots=True)
class LabelWord:
    """The last word on one sample's label: of several, the highest revision."""

    sample_id: str
    revision: int
    verdict: AuditVerdict


@dataclass(frozen=True, slots=True)
class CellAudits:
    """What was said of one cell's labels, in the order of sample ids."""

    cell: Cell
    words: tuple[LabelWord, ...] = ()

    def count(self, verdict: AuditVerdict) -> int:
        """How many labels the last word calls so."""
        return sum(word.verdict is verdict for word in self.words)

    @property
    def precision(self) -> Interval:
        """Share of right labels among those that are called right or wrong: its 95 % interval, all of [0, 1] where there is none."""
        num_correct = self.count(AuditVerdict.CORRECT)
        return wilson(num_correct, num_correct + self.count(AuditVerdict.WRONG))


def with_word(audits: CellAudits, event: LabelAudited) -> CellAudits:
    """The audits with one more word; the same audits where that revision of the sample, or a later one, was heard before."""
    known = {word.sample_id: word for word in audits.words}
    before = known.get(event.sample_id)
    if before is not None and before.revision >= event.revision:
        return audits
    known[event.sample_id] = LabelWord(event.sample_id, event.revision, event.verdict)
    return replace(audits, words=tuple(known[sample_id] for sample_id in sorted(known)))


def held_back(cells: Iterable[CellAudits], min_label_precision: float) -> tuple[Cell, ...]:
    """The cells whose label precision surely lies below the bound, in order."""
    return tuple(sorted(audits.cell for audits in cells if audits.precision.high < min_label_precision))
