"""Which generator kind takes which cell's leases, from the registry of those that live and the kinds that are paused."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from shared.domain import Cell, GeneratorRegistration


@dataclass(frozen=True, slots=True)
class Routing:
    """The living kinds, and for each cell that one of them serves, the kind that takes its leases and its seconds per candidate."""

    kinds: frozenset[str]
    routes: dict[Cell, str]
    unit_costs_s: dict[Cell, float]
    paused: dict[Cell, str]
    """Living kinds that serve a cell and are paused, for cells that nobody else serves."""


def route(entries: Sequence[GeneratorRegistration], paused: Collection[str] = ()) -> Routing:
    """Routes every cell to the cheapest kind that serves it and is not paused, ties in the order of names.

    A draining replica counts only for cells that nobody else serves: its kind's queue outlives it, and another replica may come.
    """
    chosen = _cheapest(entry for entry in entries if entry.generator.kind not in paused)
    held = _cheapest(entry for entry in entries if entry.generator.kind in paused)
    return Routing(
        kinds=frozenset(entry.generator.kind for entry in entries),
        routes={cell: kind for cell, (_, _, kind) in chosen.items()},
        unit_costs_s={cell: cost for cell, (_, cost, _) in chosen.items()},
        paused={cell: kind for cell, (_, _, kind) in held.items() if cell not in chosen},
    )


def _cheapest(entries: Iterable[GeneratorRegistration]) -> dict[Cell, tuple[bool, float, str]]:
    chosen: dict[Cell, tuple[bool, float, str]] = {}
    for entry in entries:
        for cell in entry.cells:
            offer = (entry.is_draining, entry.unit_cost_s, entry.generator.kind)
            chosen[cell] = min(offer, chosen.get(cell, offer))
    return dict(sorted(chosen.items()))
