"""What of a plan waits for a generator, how long it may, and who is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.planner.ledger import PlanLedger, lease_id_of
from services.planner.routing import Routing
from shared.domain import Cell
from shared.registry import EXPIRY_S
from shared.telemetry import log


@dataclass(frozen=True, slots=True)
class Wait:
    """A cell that waits: with an open lease that no living kind can take, or for its next lease."""

    cell: Cell
    lease_id: str | None
    kind: str | None
    """Whose lease it is; that kind is gone."""
    paused: str | None
    """A living kind that would take it and is paused."""

    @property
    def remedy(self) -> str:
        """What the operator can do."""
        start = f"start a generator of kind {self.kind} or another that serves them" if self.kind else "start a generator that serves them"
        return f"`spiral generators resume {self.paused}`, or {start}" if self.paused else start


def waits_of(plan: PlanLedger, routing: Routing) -> tuple[Wait, ...]:
    """What waits for a generator, cell by cell."""
    found = []
    for cell in plan.cells:
        paused = routing.paused.get(cell.cell)
        if cell.is_open and cell.leases[-1].kind not in routing.kinds and cell.cell not in routing.routes:
            lease = cell.leases[-1]
            found.append(Wait(cell.cell, lease_id_of(plan, cell.cell, lease.ordinal), lease.kind, paused))
        elif cell.is_waiting and cell.cell not in routing.routes:
            found.append(Wait(cell.cell, None, None, paused))
    return tuple(found)


class Vigil:
    """Counts how long cells wait, and tells the log when waiting begins and ends; by run."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._seen_at: dict[str, float] = {}
        self._since: dict[str, dict[Cell, float]] = {}
        self._told: dict[str, dict[str, list[Wait]]] = {}

    def hopeless(self, run_id: str, waits: Sequence[Wait], now: float) -> frozenset[Cell]:
        """The cells without a lease whose patience is over at `now` (s, of any clock); those that a paused kind serves have no limit."""
        # While the broker was away nobody could announce himself: what was not seen does not count.
        known = self._since.get(run_id, {}) if now - self._seen_at.get(run_id, now) < EXPIRY_S else {}
        since = {wait.cell: known.get(wait.cell, now) for wait in waits if wait.lease_id is None and wait.paused is None}
        self._seen_at[run_id], self._since[run_id] = now, since
        return frozenset(cell for cell, start in since.items() if now - start >= self._patience_s)

    def note(self, run_id: str, waits: Sequence[Wait], given_up: Sequence[Cell] = ()) -> bool:
        """Tells the log what began or ended to wait; returns whether anything waits, or did at the last look."""
        before, now = self._told.get(run_id, {}), dict[str, list[Wait]]()
        for wait in waits:
            now.setdefault(wait.remedy, []).append(wait)
        for remedy in now.keys() - before.keys():
            log.warning("cells wait for a generator", run_id=run_id, **_described(now[remedy]), remedy=remedy)
        if given_up:
            cells = [str(cell) for cell in given_up]
            log.warning("cells stay short: no generator came", run_id=run_id, patience_s=self._patience_s, cells=cells)
        for remedy in before.keys() - now.keys():
            log.warning("cells wait for a generator no longer", run_id=run_id, **_described(before[remedy]))
        self._told[run_id] = now
        return bool(now or before)

    def text(self, run_id: str) -> str:
        """What to show of a run while it waits; empty where it does not."""
        cells = [wait.cell for waits in self._told.get(run_id, {}).values() for wait in waits]
        if not cells:
            return ""
        others = f" and {len(cells) - 1} more cell{'s' if len(cells) > 2 else ''}" if len(cells) > 1 else ""
        return f"waiting for a generator: {min(cells)}{others}"


def _described(waits: Sequence[Wait]) -> dict[str, object]:
    return {
        "kind": waits[0].kind or waits[0].paused,
        "cells": [str(wait.cell) for wait in waits],
        "leases": [wait.lease_id for wait in waits if wait.lease_id],
    }
