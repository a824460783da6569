"""The durable state of one iteration's plan: leases, what came of them, and what followed from each review.

A cell has one open lease at a time, and the next one is sized by what the former brought, so a cell's leases do not depend on how the
cells interleave, on redeliveries or on kills. Each lease records whose review issued it, and the plan whose review closed it: so what
followed from a review can be said again, in the same words, as often as it is asked.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.planner.apportionment import apportion
from services.planner.yields import PRIOR_CANDIDATES
from shared.domain import Cell, CellShortfall, ClosingReason, EndReason, Lease, ModelVersion, Recipe
from shared.errors import NotFound
from shared.events import Event, GenerationRequested, PlanClosed, RunFinished
from shared.ports import Cause

OPENING = ""
"""Stands for the plan itself where a lease id names the review that something followed from."""
DIFFICULTY_STEP = 0.3
"""Difficulty moves by so much of the difference between the shares of too easy and too hard candidates."""


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
    rerouted_by: str | None = None


@dataclass(frozen=True, slots=True)
class CellLedger:
    """One cell's part of the plan. `budget` is the number of candidates that it may ask for."""

    cell: Cell
    recipe: Recipe
    num_samples: int
    budget: int
    acceptance: float
    difficulty: float
    is_served: bool
    leases: tuple[LeaseEntry, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review says about a lease: counts of its verdicts, and the event that said it."""

    lease_id: str
    num_accepted: int
    num_too_easy: int
    num_too_hard: int
    cause: Cause


Routes = Mapping[Cell, str]
"""Which living generator kind takes a cell's leases; cells that none serves are absent."""


def open_plan(plan: PlanLedger, routes: Routes) -> PlanLedger:
    """Splits the candidate budget over the cells by what each is expected to need, and issues every cell's first lease.

    A cell that no living kind serves gets no lease. Where none gets one, the plan is closed at once.
    """
    need = {cell.cell: cell.num_samples / cell.acceptance for cell in plan.cells}
    budgets = apportion(need, plan.max_candidates)
    cells = (replace(cell, budget=budgets[cell.cell], is_served=cell.cell in routes) for cell in plan.cells)
    return _closed_if_done(replace(plan, cells=tuple(_next_lease(cell, plan, routes, OPENING) for cell in cells)), OPENING)


def apply_review(plan: PlanLedger, review: Reviewed, routes: Routes) -> PlanLedger:
    """The plan after a review; the same plan where the lease was reviewed before.

    The cell gets its next lease, sized to what it lacks. When no lease is open any more, budget that some cells did not need goes to
    those that lack samples and had some accepted; when there is none to give, the plan is closed.

    Raises:
        NotFound: the plan never issued such a lease.
    """
    cell, entry = find_lease(plan, review.lease_id)
    if entry.num_accepted is not None:
        return plan
    reviewed = replace(entry, num_accepted=review.num_accepted, reviewed_for=review.cause)
    shift = DIFFICULTY_STEP * (review.num_too_easy - review.num_too_hard) / entry.num_candidates
    cell = replace(
        cell,
        difficulty=min(1.0, max(0.0, cell.difficulty + shift)),
        leases=tuple(reviewed if lease.ordinal == entry.ordinal else lease for lease in cell.leases),
    )
    plan = _with_cell(plan, _next_lease(cell, plan, routes, review.lease_id))
    if not any(cell.is_open for cell in plan.cells):
        plan = _share_what_is_left(plan, routes, review.lease_id)
    return _closed_if_done(plan, review.lease_id)


def reroute(plan: PlanLedger, routes: Routes, living: frozenset[str], by: str | None = None) -> PlanLedger:
    """Hands open leases of kinds that vanished to living kinds that serve the same cells; `by` is the review that noticed, if one did.

    The lease keeps its id, so whichever kind answers first counts. A lease that nobody else can take waits for its kind to come back.
    """

    def handed_on(cell: CellLedger) -> CellLedger:
        if not cell.is_open or cell.leases[-1].kind in living or cell.cell not in routes:
            return cell
        return replace(cell, leases=(*cell.leases[:-1], replace(cell.leases[-1], kind=routes[cell.cell], rerouted_by=by)))

    return replace(plan, cells=tuple(handed_on(cell) for cell in plan.cells))


def consequences(plan: PlanLedger, lease_id: str) -> tuple[Event, ...]:
    """What follows from a lease's review, or from the plan's opening: the leases that it issued, and the end where it closed the plan.

    A plan that closes without one accepted sample has no dataset to seal: the run ends.
    """
    entries = [(cell, entry) for cell in plan.cells for entry in cell.leases]
    issued = [(cell, entry) for cell, entry in entries if entry.issued_by == lease_id]
    rerouted = [(cell, entry) for cell, entry in entries if entry.rerouted_by == lease_id]
    requested = [GenerationRequested(plan.run_id, plan.iteration, lease_of(plan, cell, entry)) for cell, entry in issued + rerouted]
    return (*requested, _end(plan)) if plan.closed_by == lease_id else tuple(requested)


def causes(plan: PlanLedger) -> list[tuple[Cause, str]]:
    """The plan's opening and every applied review, each with the lease id to ask `consequences` for."""
    reviewed = [
        (entry.reviewed_for, lease_id_of(plan, cell.cell, entry.ordinal))
        for cell in plan.cells
        for entry in cell.leases
        if entry.reviewed_for
    ]
    return [(plan.opened_for, OPENING), *reviewed]


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


def _next_lease(cell: CellLedger, plan: PlanLedger, routes: Routes, issued_by: str) -> CellLedger:
    left = cell.budget - cell.num_asked
    if not cell.deficit or left <= 0:
        return cell
    if cell.cell not in routes:
        return replace(cell, is_served=False)
    num_candidates = min(plan.lease_size, left, math.ceil(cell.deficit / cell.measured_acceptance))
    entry = LeaseEntry(
        ordinal=len(cell.leases) + 1,
        kind=routes[cell.cell],
        num_candidates=num_candidates,
        num_wanted=min(cell.deficit, num_candidates),
        difficulty=cell.difficulty,
        issued_by=issued_by,
    )
    return replace(cell, is_served=True, leases=(*cell.leases, entry))


def _share_what_is_left(plan: PlanLedger, routes: Routes, issued_by: str) -> PlanLedger:
    left = plan.max_candidates - sum(cell.num_asked for cell in plan.cells)
    need = {
        cell.cell: cell.deficit / cell.measured_acceptance
        for cell in plan.cells
        if cell.deficit and cell.num_accepted and cell.cell in routes
    }
    if left <= 0 or not need:
        return plan
    shares = apportion(need, left)

    def extended(cell: CellLedger) -> CellLedger:
        if not shares.get(cell.cell):
            return cell
        return _next_lease(replace(cell, budget=cell.num_asked + shares[cell.cell]), plan, routes, issued_by)

    return replace(plan, cells=tuple(extended(cell) for cell in plan.cells))


def _closed_if_done(plan: PlanLedger, by: str) -> PlanLedger:
    return plan if any(cell.is_open for cell in plan.cells) else replace(plan, closed_by=by)


def _with_cell(plan: PlanLedger, cell: CellLedger) -> PlanLedger:
    return replace(plan, cells=tuple(cell if other.cell == cell.cell else other for other in plan.cells))


def _end(plan: PlanLedger) -> Event:
    short = [cell for cell in plan.cells if cell.deficit]
    reason = ClosingReason.BUDGET_SPENT if short else ClosingReason.QUOTAS_MET
    if any(not cell.is_served for cell in short):
        reason = ClosingReason.NO_GENERATOR
    if not any(cell.num_accepted for cell in plan.cells):
        asked = sum(cell.num_asked for cell in plan.cells)
        why = "no living generator serves any of its cells" if not asked else f"none of {asked} candidates was accepted"
        return RunFinished(
            plan.run_id, plan.iteration, EndReason.NO_SAMPLES, plan.base_model, f"iteration {plan.iteration} has no training sample: {why}"
        )
    return PlanClosed(
        run_id=plan.run_id,
        iteration=plan.iteration,
        reason=reason,
        lease_ids=tuple(lease_id_of(plan, cell.cell, entry.ordinal) for cell in plan.cells for entry in cell.leases if entry.num_accepted),
        shortfalls=tuple(CellShortfall(cell.cell, cell.num_samples, cell.num_accepted) for cell in short),
        base_model=plan.base_model,
        replay_share=plan.replay_share,
    )
