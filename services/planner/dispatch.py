"""Who gets a cell's next lease, how many candidates it asks for, and whether it asks for annotation: from the cell's leases alone. Pure."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.planner.ledger import CellLedger, Issue, LeaseEntry, PlanLedger
from services.planner.routing import Offer, shares_of
from shared.domain import Cell, LeaseTask

MIN_UNANSWERED, MIN_EMPTY_LEASES = 8, 2
"""So many candidates and leases in a row of which a kind made nothing say that it has nothing left for a cell: no budget, or no image."""


def next_issue(plan: PlanLedger, cell: CellLedger, offers: Sequence[Offer], *, num_left: int) -> Issue:
    """The next lease of a cell that lacks samples, of at most `num_left` candidates.

    It goes to the kind that lacks most of its share of what was asked for and is still needed, ties to the cheapest, and asks for no more
    than that, so that the kinds have their shares at every lease's end. Kinds that have nothing left for the cell leave theirs to others.
    """
    offers = _not_dry(cell.leases, offers)
    num_needed = math.ceil(cell.deficit / cell.measured_acceptance)
    asked = Counter[str]()
    for entry in cell.leases:
        asked[entry.kind] += entry.num_candidates
    due = _apportioned(shares_of(offers, plan.kind_shares), cell.num_asked + num_needed, _phase(plan, cell.cell, "kinds"))
    lacking = {offer.kind: due[offer.kind] - asked[offer.kind] for offer in offers}
    offer = max(offers, key=lambda offer: lacking[offer.kind])
    num_candidates = min(plan.lease_size, num_left, num_needed, max(1, lacking[offer.kind]))
    return _issued(plan, cell, cell.leases, offer, num_candidates, cell.deficit)


def issued_anew(plan: PlanLedger, cell: CellLedger, offers: Sequence[Offer]) -> LeaseEntry:
    """The cell's open lease for another kind: under the same id, and no larger than that kind takes."""
    *before, entry = cell.leases
    offers = _not_dry(before, offers)
    asked = Counter[str]()
    for other in before:
        asked[other.kind] += other.num_candidates
    shares = shares_of(offers, plan.kind_shares)
    total = sum(other.num_candidates for other in before) + entry.num_candidates
    offer = max(offers, key=lambda offer: shares[offer.kind] * total - asked[offer.kind])
    to = _issued(plan, cell, before, offer, entry.num_candidates, entry.num_wanted)
    return replace(entry.issued_as(to), earlier=(*entry.earlier, entry.issue), is_unsaid=True)


def _not_dry(leases: Sequence[LeaseEntry], offers: Sequence[Offer]) -> Sequence[Offer]:
    """Those that made something of what they were asked lately; where none did, all of them."""
    empty = defaultdict[str, list[LeaseEntry]](list)
    for entry in leases:
        if entry.num_made == 0:
            empty[entry.kind].append(entry)
        elif entry.num_made is not None:
            empty[entry.kind].clear()
    dry = {
        kind
        for kind, entries in empty.items()
        if len(entries) >= MIN_EMPTY_LEASES and sum(entry.num_candidates for entry in entries) >= MIN_UNANSWERED
    }
    return [offer for offer in offers if offer.kind not in dry] or offers


def _issued(plan: PlanLedger, cell: CellLedger, before: Sequence[LeaseEntry], offer: Offer, num_candidates: int, num_wanted: int) -> Issue:
    num_candidates = min(num_candidates, offer.max_lease_size or num_candidates)
    num_leases = sum(entry.kind == offer.kind for entry in before)
    is_annotation = offer.can_annotate and _is_due(num_leases, plan.annotate_share, _phase(plan, cell.cell, "annotate"))
    task = LeaseTask.ANNOTATE if is_annotation else None
    return Issue(offer.kind, num_candidates, min(num_wanted, num_candidates), task)


def _apportioned(shares: Mapping[str, float], num: int, phase: float) -> dict[str, int]:
    """So many candidates by the kinds' shares: floor or ceiling of each, the phase decides which (systematic sampling)."""
    apportioned, before, end = {}, 0, 0.0
    for kind, share in shares.items():
        end += share * num
        apportioned[kind] = math.floor(end + phase) - before
        before += apportioned[kind]
    return apportioned


def _is_due(number: int, share: float, phase: float) -> bool:
    """Whether the lease of that number, from 0, is one of the share: of any n in a row, floor or ceiling of n times the share are."""
    return math.floor(share * (number + 1) + phase) > math.floor(share * number + phase)


def _phase(plan: PlanLedger, cell: Cell, purpose: str) -> float:
    """Where in the round a cell begins, in [0, 1): so that cells with one lease, or with few samples, have the share together."""
    digest = hashlib.sha256(f"{plan.seed}/{plan.run_id}.{plan.iteration}.{cell}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
