"""What the reviews of one run brought, as one index that grows with them, and who may not repeat what of it. Pure.

Accepted samples count for leases of other iterations, and in the same iteration for those of the same question type: a scene may be asked
about in several ways. What models refused (too hard or too easy for the policy, disputed, answerable without its image) counts for later
leases of its cell in the same iteration alone: asking again until luck has it would bias what is accepted, but a later policy differs.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint
from services.quality.sources import Representation, SourceMark
from shared.domain import Cell, ImageCategory, QuestionType
from shared.images.decoding import DecodedImage


@dataclass(frozen=True, slots=True)
class Mark:
    """A fingerprint that later candidates may not repeat."""

    candidate_id: str
    accepted: bool
    fingerprint: Fingerprint
    source: SourceMark | None = None
    """Where its image was found; None where a scene proves its answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lease stands in its run."""

    iteration: int
    cell: Cell
    ordinal: int


def place_of(lease_id: str) -> Place:
    """The place that a lease's id names, `RUN_ID.ITERATION.CATEGORY.QUESTION_TYPE.ORDINAL`.

    Raises:
        ValueError: it is no such id.
    """
    _, iteration, category, question_type, ordinal = lease_id.split(".")
    return Place(int(iteration), Cell(ImageCategory(category), QuestionType(question_type)), int(ordinal))


class RunIndex:
    """The marks of a run's reviews."""

    def __init__(self) -> None:
        self._index = FingerprintIndex()
        self._marks: list[tuple[Place, bool, str]] = []
        self._exact: defaultdict[str, list[int]] = defaultdict(list)
        self._represented: defaultdict[int, Representation] = defaultdict(Representation)

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, place: Place, marks: Iterable[Mark]) -> None:
        """Takes what the review of one lease left."""
        for mark in marks:
            at = len(self._marks)
            self._index.add(str(at), mark.fingerprint)
            self._exact[mark.fingerprint.exact].append(at)
            self._marks.append((place, mark.accepted, mark.candidate_id))
            if mark.accepted and mark.source is not None:
                self._represented[place.iteration].add(mark.source)

    def represented(self, iteration: int) -> Representation:
        """The sources of an iteration's accepted samples; it grows as the index does."""
        return self._represented[iteration]

    def before(self, place: Place, *, since: int = 0) -> "Earlier":
        """What candidates of a lease may not repeat, of the marks from number `since` on."""
        return Earlier(self, place, since)

    def counts(self, at: int, place: Place) -> bool:
        """Whether candidates of a lease may not repeat a mark; its own are none of its past, where somebody asks what it would get now."""
        other, is_accepted, _ = self._marks[at]
        if other == place:
            return False
        if is_accepted:
            return other.iteration != place.iteration or other.cell.question_type is place.cell.question_type
        return other.iteration == place.iteration and other.cell == place.cell and other.ordinal < place.ordinal

    def exact(self, fingerprint: Fingerprint) -> Iterable[int]:
        """The marks of the same pixels, question, choices and answer."""
        return self._exact.get(fingerprint.exact, ())

    def near(self, fingerprint: Fingerprint, image: DecodedImage | None, place: Place, since: int) -> str | None:
        """The number of a mark that counts and is a near-copy."""
        return self._index.near(fingerprint, image, counts=lambda at: int(at) >= since and self.counts(int(at), place))

    def name_of(self, at: int) -> str:
        """The candidate that left a mark."""
        return self._marks[at][2]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A lease's view of its run's index."""

    run: RunIndex
    place: Place
    since: int

    def __bool__(self) -> bool:
        return any(self.run.counts(at, self.place) for at in range(self.since, len(self.run)))

    def exact(self, fingerprint: Fingerprint) -> str | None:
        """Who left the same pixels, question, choices and answer."""
        found = (at for at in self.run.exact(fingerprint) if at >= self.since and self.run.counts(at, self.place))
        return next(map(self.run.name_of, found), None)

    def near(self, fingerprint: Fingerprint, image: DecodedImage | None = None) -> str | None:
        """Who left a copy or near-copy."""
        found = self.run.near(fingerprint, image, self.place, self.since)
        return None if found is None else self.run.name_of(int(found))
