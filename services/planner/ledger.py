"""The durable state of one iteration's plan: leases, and what came of them.

A cell has one open lease at a time, and the next one is sized by what the former brought, so a cell's leases do not depend on how the
cells interleave, on redeliveries, on kills, or on when a generator came or went. Each lease records whose review issued it, and the plan
whose review closed it: so what followed from a review can be said again, in the same words, as often as it is asked.
"""

import hashlib
from dataclasses import dataclass, replace

from services.planner.yields import PRIOR_CANDIDATES
from shared.domain import Cell, Guidance, KindShare, Lease, LeaseTask, ModelVersion, Recipe
from shared.errors import NotFound
from shared.ports import Cause

OPENING = ""
"""Stands for the plan itself where a lease id names the review that something followed from."""


@dataclass(frozen=True, slots=True)
class Issue:
    """What a lease says that may change when it goes to another kind."""

    kind: str
    num_candidates: int
    num_wanted: int
    task: LeaseTask | None = None


@dataclass(frozen=True, slots=True)
class LeaseEntry:
    """One lease of a cell; `num_accepted` is None while it is open."""

    ordinal: int
    kind: str
    num_candidates: int
    num_wanted: int
    difficulty: float
    issued_by: str
    num_accepted: int | None = None
    reviewed_for: Cause | None = None
    num_made: int | None = None
    """Candidates that its answer held; None while it is open, and where a planner reviewed it that did not count them."""
    is_unsaid: bool = False
    """Whether the watch issued it to this kind, and is not known to have said so."""
    task: LeaseTask | None = None
    earlier: tuple[Issue, ...] = ()
    """As what else it was issued, to kinds that vanished meanwhile; one of them may come back and answer it."""

    @property
    def issue(self) -> Issue:
        """As what it is issued."""
        return Issue(self.kind, self.num_candidates, self.num_wanted, self.task)

    def issued_as(self, issue: Issue) -> "LeaseEntry":
        """The same lease, issued as something else."""
        return replace(self, kind=issue.kind, num_candidates=issue.num_candidates, num_wanted=issue.num_wanted, task=issue.task)


@dataclass(frozen=True, slots=True)
class CellLedger:
    """One cell's part of the plan. `budget` is the number of candidates that it may ask for.

    `is_served` ends when the plan gives up waiting for a generator that serves the cell.
    """

    cell: Cell
    recipe: Recipe
    num_samples: int
    budget: int
    acceptance: float
    difficulty: float
    is_served: bool
    leases: tuple[LeaseEntry, ...] = ()
    guidance: Guidance | None = None
    """What the champion's diagnosis knows of the cell; None in plans of planners that told nobody."""

    @property
    def num_accepted(self) -> int:
        """Samples accepted so far."""
        return sum(lease.num_accepted or 0 for lease in self.leases)

    @property
    def num_asked(self) -> int:
        """Candidates asked for so far."""
        return sum(lease.num_candidates for lease in self.leases)

    @property
    def deficit(self) -> int:
        """Accepted samples that are missing."""
        return max(0, self.num_samples - self.num_accepted)

    @property
    def is_open(self) -> bool:
        """Whether a lease awaits its review."""
        return bool(self.leases) and self.leases[-1].num_accepted is None

    @property
    def is_waiting(self) -> bool:
        """Whether its next lease is due and nobody served the cell when its turn came."""
        return self.is_served and not self.is_open and self.deficit > 0 and self.budget > self.num_asked

    @property
    def measured_acceptance(self) -> float:
        """Share of the candidates asked for that were accepted, smoothed towards the expected one; in (0, 1]."""
        return (self.num_accepted + self.acceptance * PRIOR_CANDIDATES) / (self.num_asked + PRIOR_CANDIDATES)


@dataclass(frozen=True, slots=True)
class PlanLedger:
    """One iteration's plan. `closed_by` is None while it is open."""

    run_id: str
    iteration: int
    seed: int
    base_model: ModelVersion
    replay_share: float
    lease_size: int
    max_candidates: int
    image_size_px: int
    opened_for: Cause
    cells: tuple[CellLedger, ...]
    closed_by: str | None = None
    is_end_unsaid: bool = False
    """Whether the watch closed it, and is not known to have said so."""
    held_back: tuple[Cell, ...] = ()
    """Cells that have no part in it for their wrong labels; nothing of them is replayed."""
    kind_shares: tuple[KindShare, ...] = ()
    annotate_share: float = 0.0


def lease_id_of(plan: PlanLedger, cell: Cell, ordinal: int) -> str:
    """RUN.ITERATION.CATEGORY.QUESTION_TYPE.ORDINAL."""
    return f"{plan.run_id}.{plan.iteration}.{cell.category.value}.{cell.question_type.value}.{ordinal}"


def lease_of(plan: PlanLedger, cell: CellLedger, entry: LeaseEntry) -> Lease:
    """The lease as generators see it; its seed follows from the run's seed and the lease id alone."""
    lease_id = lease_id_of(plan, cell.cell, entry.ordinal)
    digest = hashlib.sha256(f"{plan.seed}/{lease_id}".encode()).digest()
    return Lease(
        lease_id=lease_id,
        cell=cell.cell,
        recipe=cell.recipe,
        kind=entry.kind,
        ordinal=entry.ordinal,
        num_candidates=entry.num_candidates,
        num_wanted=entry.num_wanted,
        seed=int.from_bytes(digest[:8], "big") >> 1,
        difficulty=entry.difficulty,
        image_size_px=plan.image_size_px,
        base_model=plan.base_model,
        task=entry.task,
        guidance=cell.guidance,
    )


def find_lease(plan: PlanLedger, lease_id: str) -> tuple[CellLedger, LeaseEntry]:
    """A lease of the plan.

    Raises:
        NotFound: the plan never issued it.
    """
    for cell in plan.cells:
        if lease_id.startswith(lease_id_of(plan, cell.cell, 0).removesuffix("0")):
            for entry in cell.leases:
                if lease_id_of(plan, cell.cell, entry.ordinal) == lease_id:
                    return cell, entry
    raise NotFound(f"run {plan.run_id}, iteration {plan.iteration}: the plan never issued the lease {lease_id}")


def is_as_issued(plan: PlanLedger, lease: Lease) -> bool:
    """Whether a lease that came back is what the plan issued under its id, now or before it went to another kind.

    Raises:
        NotFound: the plan never issued it.
    """
    return _issue_of(plan, lease) is not None


def as_answered(plan: PlanLedger, lease: Lease) -> PlanLedger:
    """The plan, with an open lease as it was issued to whoever answered it; where it never was, the same plan.

    A lease never grows when it goes to another kind, and its cell gets no other before its review, so this exceeds no budget.

    Raises:
        NotFound: the plan never issued it.
    """
    cell, entry = find_lease(plan, lease.lease_id)
    issue = _issue_of(plan, lease)
    if issue is None or issue == entry.issue or entry.num_accepted is not None:
        return plan
    others = tuple(other for other in (*entry.earlier, entry.issue) if other != issue)
    answered = replace(cell, leases=(*cell.leases[:-1], replace(entry.issued_as(issue), earlier=others)))
    return replace(plan, cells=tuple(answered if other.cell == cell.cell else other for other in plan.cells))


def _issue_of(plan: PlanLedger, lease: Lease) -> Issue | None:
    """As what a lease was issued that came back; of several that it may be, the one to its kind.

    Kind, task and guidance decide nothing about samples, and ledgers of earlier versions do not know whom a lease was issued to before.
    """
    cell, entry = find_lease(plan, lease.lease_id)
    found = [
        issue
        for issue in (entry.issue, *entry.earlier)
        if lease == replace(lease_of(plan, cell, entry.issued_as(issue)), kind=lease.kind, task=lease.task, guidance=lease.guidance)
    ]
    return next((issue for issue in found if issue.kind == lease.kind), found[0] if found else None)
