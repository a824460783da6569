"""Which generator kinds take which cell's leases, from the registry of those that live and the kinds that are paused."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.domain import Cell, GeneratorRegistration, KindShare


@dataclass(frozen=True, slots=True)
class Offer:
    """A living kind that takes a cell's leases."""

    kind: str
    unit_cost_s: float = 1.0
    """Seconds per candidate, of its cheapest replica."""
    max_lease_size: int = 0
    """The most candidates that a lease may ask of it; 0 is no limit of its own."""
    can_annotate: bool = False


Routes = Mapping[Cell, Sequence[Offer]]
"""Who takes a cell's leases, the cheapest first; cells that no living kind serves are absent, and wait."""


@dataclass(frozen=True, slots=True)
class Routing:
    """The living kinds, and for each cell that one of them serves, those that take its leases."""

    kinds: frozenset[str]
    routes: dict[Cell, tuple[Offer, ...]]
    paused: dict[Cell, str]
    """Living kinds that serve a cell and are paused, for cells that nobody else serves."""

    def unit_costs_s(self, kind_shares: Sequence[KindShare]) -> dict[Cell, float]:
        """Seconds per candidate of each cell that somebody serves, over the kinds that share its leases."""
        costs = {}
        for cell, offers in self.routes.items():
            shares = shares_of(offers, kind_shares)
            costs[cell] = sum(shares[offer.kind] * offer.unit_cost_s for offer in offers)
        return costs


def route(entries: Sequence[GeneratorRegistration], paused: Collection[str] = ()) -> Routing:
    """Routes every cell to the kinds that serve it and are not paused: the cheapest first, ties in the order of names.

    A draining replica counts only for cells that nobody else serves: its kind's queue outlives it, and another replica may come.
    """
    offered = _offers(entry for entry in entries if entry.generator.kind not in paused)
    held = _offers(entry for entry in entries if entry.generator.kind in paused)
    return Routing(
        kinds=frozenset(entry.generator.kind for entry in entries),
        routes=offered,
        paused={cell: offers[0].kind for cell, offers in held.items() if cell not in offered},
    )


def shares_of(offers: Sequence[Offer], kind_shares: Sequence[KindShare]) -> dict[str, float]:
    """Each kind's share of a cell's candidates, summing to 1.

    The kinds that `kind_shares` names get what it says. What they leave goes to the cheapest kind that it does not name, and where every
    living kind is named, to the cheapest.
    """
    named = {share.kind: share.share for share in kind_shares}
    shares = {offer.kind: named.get(offer.kind, 0.0) for offer in offers}
    heir = next((offer.kind for offer in offers if offer.kind not in named), offers[0].kind)
    shares[heir] += max(0.0, 1.0 - sum(shares.values()))
    return shares


def _offers(entries: Iterable[GeneratorRegistration]) -> dict[Cell, tuple[Offer, ...]]:
    replicas: dict[Cell, dict[str, list[GeneratorRegistration]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        for cell in entry.cells:
            replicas[cell][entry.generator.kind].append(entry)
    found = {}
    for cell in sorted(replicas):
        lasting = {kind: [entry for entry in own if not entry.is_draining] for kind, own in replicas[cell].items()}
        serving = {kind: own for kind, own in lasting.items() if own} or replicas[cell]
        offers = (_offer(kind, own) for kind, own in serving.items())
        found[cell] = tuple(sorted(offers, key=lambda offer: (offer.unit_cost_s, offer.kind)))
    return found


def _offer(kind: str, replicas: Sequence[GeneratorRegistration]) -> Offer:
    """What a kind offers. Its replicas take leases from one queue, so every lease must suit each of them."""
    return Offer(
        kind=kind,
        unit_cost_s=min(entry.unit_cost_s for entry in replicas),
        max_lease_size=min((entry.max_lease_size for entry in replicas if entry.max_lease_size), default=0),
        can_annotate=all(entry.can_annotate for entry in replicas),
    )
