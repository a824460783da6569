"""How a plan changes: it opens, a review comes, a generator comes or goes, patience ends. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from services.planner.apportionment import apportion
from services.planner.dispatch import issued_anew, next_issue
from services.planner.ledger import OPENING, CellLedger, LeaseEntry, PlanLedger, find_lease, lease_id_of
from services.planner.routing import Routes
from shared.domain import Cell
from shared.ports import Cause

DIFFICULTY_STEP = 0.3
"""Difficulty moves by so much of the difference between the shares of too easy and too hard candidates."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review says about a lease: counts of its verdicts, and the event that said it."""

    lease_id: str
    num_made: int
    num_accepted: int
    num_too_easy: int
    num_too_hard: int
    cause: Cause


def open_plan(plan: PlanLedger, routes: Routes) -> PlanLedger:
    """Splits the candidate budget over the cells by what each is expected to need, and issues the first lease of every served cell."""
    need = {cell.cell: cell.num_samples / cell.acceptance for cell in plan.cells}
    budgets = apportion(need, plan.max_candidates)
    cells = (replace(cell, budget=budgets[cell.cell]) for cell in plan.cells)
    return _settled(replace(plan, cells=tuple(_next_lease(cell, plan, routes, OPENING) for cell in cells)), routes, OPENING)


def apply_review(plan: PlanLedger, review: Reviewed, routes: Routes) -> PlanLedger:
    """The plan after a review; the same plan where the lease was reviewed before.

    The cell gets its next lease, sized to what it lacks. When no lease is open or waits any more, budget that some cells did not need
    goes to those that lack samples and had some accepted; when there is none to give, the plan is closed.

    Raises:
        NotFound: the plan never issued such a lease.
    """
    cell, entry = find_lease(plan, review.lease_id)
    if entry.num_accepted is not None:
        return plan
    reviewed = replace(entry, num_made=review.num_made, num_accepted=review.num_accepted, reviewed_for=review.cause, is_unsaid=False)
    shift = DIFFICULTY_STEP * (review.num_too_easy - review.num_too_hard) / entry.num_candidates
    cell = replace(cell, difficulty=min(1.0, max(0.0, cell.difficulty + shift)), leases=(*cell.leases[:-1], reviewed))
    following = _next_lease(cell, plan, routes, review.lease_id)
    plan = replace(plan, cells=tuple(following if other.cell == cell.cell else other for other in plan.cells))
    return _settled(plan, routes, review.lease_id)


def catch_up(plan: PlanLedger, routes: Routes, living: Collection[str]) -> PlanLedger:
    """Hands open leases of kinds that vanished to living ones, and issues the next lease of waiting cells that somebody serves now.

    A lease keeps its id, so whichever kind answers first counts; it is cut to what the other kind takes. One that nobody else can take
    waits for its kind to come back.
    """

    def caught_up(cell: CellLedger) -> CellLedger:
        if cell.cell not in routes:
            return cell
        if cell.is_open and cell.leases[-1].kind not in living:
            return replace(cell, leases=(*cell.leases[:-1], issued_anew(plan, cell, routes[cell.cell])))
        return _next_lease(cell, plan, routes, None) if cell.is_waiting else cell

    return replace(plan, cells=tuple(caught_up(cell) for cell in plan.cells))


def give_up(plan: PlanLedger, routes: Routes, hopeless: Collection[Cell]) -> PlanLedger:
    """Leaves waiting cells short, once nothing is left to wait for: no lease is open, and every waiting cell is hopeless."""
    if any(cell.is_open or (cell.is_waiting and cell.cell not in hopeless) for cell in plan.cells):
        return plan
    if not any(cell.is_waiting for cell in plan.cells):
        return plan
    cells = (replace(cell, is_served=False) if cell.is_waiting else cell for cell in plan.cells)
    return _settled(replace(plan, cells=tuple(cells)), routes, None)


def _next_lease(cell: CellLedger, plan: PlanLedger, routes: Routes, issued_by: str | None) -> CellLedger:
    """The cell with its next lease, where one is due and somebody serves it; `issued_by` is None where no event is at hand to say so.

    Such a lease follows from what would have issued it in time: the last review of its cell, or the opening.
    """
    left = cell.budget - cell.num_asked
    if not cell.deficit or left <= 0 or cell.cell not in routes:
        return cell
    issue = next_issue(plan, cell, routes[cell.cell], num_left=left)
    before = lease_id_of(plan, cell.cell, len(cell.leases)) if cell.leases else OPENING
    entry = LeaseEntry(
        ordinal=len(cell.leases) + 1,
        kind=issue.kind,
        num_candidates=issue.num_candidates,
        num_wanted=issue.num_wanted,
        difficulty=cell.difficulty,
        issued_by=before if issued_by is None else issued_by,
        is_unsaid=issued_by is None,
        task=issue.task,
    )
    return replace(cell, leases=(*cell.leases, entry))


def _settled(plan: PlanLedger, routes: Routes, by: str | None) -> PlanLedger:
    """Where nothing is open or waits any more: the plan with what is left of the budget shared out, or closed."""
    if _is_busy(plan):
        return plan
    plan = _share_what_is_left(plan, routes, by)
    return plan if _is_busy(plan) else replace(plan, closed_by=OPENING if by is None else by, is_end_unsaid=by is None)


def _is_busy(plan: PlanLedger) -> bool:
    return any(cell.is_open or cell.is_waiting for cell in plan.cells)


def _share_what_is_left(plan: PlanLedger, routes: Routes, issued_by: str | None) -> PlanLedger:
    left = plan.max_candidates - sum(cell.num_asked for cell in plan.cells)
    need = {
        cell.cell: cell.deficit / cell.measured_acceptance for cell in plan.cells if cell.deficit and cell.num_accepted and cell.is_served
    }
    if left <= 0 or not need:
        return plan
    shares = apportion(need, left)

    def extended(cell: CellLedger) -> CellLedger:
        if not shares.get(cell.cell):
            return cell
        return _next_lease(replace(cell, budget=cell.num_asked + shares[cell.cell]), plan, routes, issued_by)

    return replace(plan, cells=tuple(extended(cell) for cell in plan.cells))
