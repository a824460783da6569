"""What a plan has to say, from its ledger alone: after an event, once more after a crash, or after the watch decided something."""

from collections.abc import Collection
from dataclasses import replace

from services.planner.ledger import OPENING, CellLedger, LeaseEntry, PlanLedger, lease_id_of, lease_of
from shared.domain import CellShortfall, ClosingReason, EndReason
from shared.events import Event, GenerationRequested, PlanClosed, RunFinished
from shared.ports import Cause


def consequences(plan: PlanLedger, lease_id: str) -> tuple[Event, ...]:
    """What follows from a lease's review, or from the plan's opening: the leases that it issued, and the end where it closed the plan.

    A plan that closes without one accepted sample has no dataset to seal: the run ends.
    """
    issued = tuple(_request(plan, cell, entry) for cell in plan.cells for entry in cell.leases if entry.issued_by == lease_id)
    return (*issued, _end(plan)) if plan.closed_by == lease_id else issued


def causes(plan: PlanLedger) -> list[tuple[Cause, str]]:
    """The plan's opening and every applied review, each with the lease id to ask `consequences` for."""
    reviewed = [
        (entry.reviewed_for, lease_id_of(plan, cell.cell, entry.ordinal))
        for cell in plan.cells
        for entry in cell.leases
        if entry.reviewed_for
    ]
    return [(plan.opened_for, OPENING), *reviewed]


def unsaid(plan: PlanLedger) -> list[tuple[Cause, tuple[Event, ...]]]:
    """What the watch decided and is not known to have said, with its causes."""
    by_issuer: dict[str, list[Event]] = {}
    for cell in plan.cells:
        for entry in cell.leases:
            if entry.is_unsaid:
                by_issuer.setdefault(entry.issued_by, []).append(_request(plan, cell, entry))
    if plan.is_end_unsaid and plan.closed_by is not None:
        by_issuer.setdefault(plan.closed_by, []).append(_end(plan))
    return [(cause, tuple(by_issuer[lease_id])) for cause, lease_id in causes(plan) if lease_id in by_issuer]


def with_said(plan: PlanLedger, events: Collection[Event]) -> PlanLedger:
    """The plan, with a note that these events were said; a lease that went to yet another kind meanwhile stays unsaid."""

    def noted(cell: CellLedger) -> CellLedger:
        return replace(
            cell,
            leases=tuple(
                replace(entry, is_unsaid=False) if entry.is_unsaid and _request(plan, cell, entry) in events else entry
                for entry in cell.leases
            ),
        )

    is_end_unsaid = plan.is_end_unsaid and _end(plan) not in events
    return replace(plan, cells=tuple(noted(cell) for cell in plan.cells), is_end_unsaid=is_end_unsaid)


def _request(plan: PlanLedger, cell: CellLedger, entry: LeaseEntry) -> Event:
    return GenerationRequested(plan.run_id, plan.iteration, lease_of(plan, cell, entry))


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
        held_back=plan.held_back,
    )
