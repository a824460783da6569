"""What is known of every generator kind and version: who lives, what waits for them, what they made and what became of it. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.cli.report_build import Recorded
from shared import events as e
from shared.domain import Cell, GeneratorIdentity, GeneratorRegistration


class State(StrEnum):
    """Whether leases go there; `GONE` has no living replica."""

    SERVING = "serving"
    DRAINING = "draining"
    PAUSED = "paused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class VersionCensus:
    """One version of a kind; the figures are those of the runs that were looked at."""

    version: str
    is_paused: bool
    replicas: tuple[GeneratorRegistration, ...]
    num_leases: int
    """Answered."""
    num_candidates: int
    num_reviewed: int
    """Candidates."""
    num_accepted: int

    @property
    def state(self) -> State:
        """Of the version as a whole."""
        return _state(self.replicas, self.is_paused)

    @property
    def acceptance(self) -> float | None:
        """Share of the reviewed candidates that were accepted; None before the first review."""
        return self.num_accepted / self.num_reviewed if self.num_reviewed else None

    @property
    def unit_cost_s(self) -> float | None:
        """Declared seconds per candidate, the mean over living replicas."""
        return sum(replica.unit_cost_s for replica in self.replicas) / len(self.replicas) if self.replicas else None

    @property
    def cost_per_accepted_s(self) -> float | None:
        """Declared seconds per accepted sample; None before the first."""
        return self.unit_cost_s / self.acceptance if self.unit_cost_s is not None and self.acceptance else None


@dataclass(frozen=True, slots=True)
class KindCensus:
    """A kind and its versions; those that answered leases or live."""

    kind: str
    is_paused: bool
    versions: tuple[VersionCensus, ...]
    num_open_leases: int
    """Issued and not yet answered."""
    waiting_since_ns: int | None
    """When the oldest open lease was issued."""
    last_answer_ns: int | None
    """When it last answered a lease."""

    @property
    def replicas(self) -> tuple[GeneratorRegistration, ...]:
        """All that live."""
        return tuple(replica for version in self.versions for replica in version.replicas)

    @property
    def state(self) -> State:
        """Of the kind as a whole."""
        return _state(self.replicas, self.is_paused)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that a living replica serves."""
        return tuple(sorted({cell for replica in self.replicas for cell in replica.cells}))


def replica_state(replica: GeneratorRegistration, *, is_paused: bool) -> State:
    """Whether leases go to one living replica."""
    return _state((replica,), is_paused)


def take_census(
    living: Sequence[GeneratorRegistration], paused: Collection[str], with_consumer: Collection[str], records: Sequence[Recorded]
) -> tuple[KindCensus, ...]:
    """Everyone that lives, is paused, has a consumer or had a lease, ordered by kind and version.

    Args:
        living: the registry.
        paused: the kinds that the operator paused.
        with_consumer: the kinds whose leases the broker keeps for them.
        records: the runs' events in the order of their storing.
    """
    makers: dict[str, GeneratorIdentity] = {}
    leases: dict[str, tuple[str, int]] = {}
    answers: list[tuple[e.CandidatesGenerated, int]] = []
    reviews: list[e.CandidatesReviewed] = []
    for record in records:
        match record.event:
            case e.GenerationRequested(lease=lease):
                # A lease that was issued again belongs to the kind that got it last.
                leases[lease.lease_id] = (lease.kind, record.stored_at_ns)
            case e.CandidatesGenerated() as answer:
                makers[answer.lease.lease_id] = answer.generator
                answers.append((answer, record.stored_at_ns))
            case e.CandidatesReviewed() as review:
                reviews.append(review)
    kinds = (
        {entry.generator.kind for entry in living}
        | {*paused, *with_consumer}
        | {kind for kind, _ in leases.values()}
        | {maker.kind for maker in makers.values()}
    )

    def version_census(kind: str, version: str) -> VersionCensus:
        made = [answer for answer, _ in answers if (answer.generator.kind, answer.generator.version) == (kind, version)]
        judged = [review for review in reviews if (review.generator.kind, review.generator.version) == (kind, version)]
        return VersionCensus(
            version=version,
            is_paused=kind in paused,
            replicas=tuple(entry for entry in living if (entry.generator.kind, entry.generator.version) == (kind, version)),
            num_leases=len(made),
            num_candidates=sum(answer.num_candidates for answer in made),
            num_reviewed=sum(len(review.verdicts) for review in judged),
            num_accepted=sum(verdict.accepted for review in judged for verdict in review.verdicts),
        )

    def kind_census(kind: str) -> KindCensus:
        versions = {maker.version for maker in [*makers.values(), *(entry.generator for entry in living)] if maker.kind == kind}
        waiting = [issued_ns for lease_id, (of, issued_ns) in leases.items() if of == kind and lease_id not in makers]
        return KindCensus(
            kind=kind,
            is_paused=kind in paused,
            versions=tuple(version_census(kind, version) for version in sorted(versions)),
            num_open_leases=len(waiting),
            waiting_since_ns=min(waiting, default=None),
            last_answer_ns=max((at_ns for answer, at_ns in answers if answer.generator.kind == kind), default=None),
        )

    return tuple(kind_census(kind) for kind in sorted(kinds))


def _state(replicas: Sequence[GeneratorRegistration], is_paused: bool) -> State:
    if not replicas:
        return State.GONE
    if all(replica.is_draining for replica in replicas):
        return State.DRAINING
    return State.PAUSED if is_paused else State.SERVING
