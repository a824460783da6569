"""A recess after candidates failed in a row for what only the operator can change: an unknown model, a refused search key.

Each such candidate may have paid for calls before the one that was refused, so money would be spent on nothing until somebody looks.
"""

import time
from collections.abc import Callable

from services.generators.agentic.crafting import Batch

OPERATORS_REASONS = frozenset({"rejected", "search_refused", "search_invalid"})
NUM_IN_VAIN = 3
_FIRST_S, _LONGEST_S = 60.0, 600.0


class Recess:
    """Begins when nothing else has come of so many candidates in a row; a lease tries again after it, and then it is twice as long."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._num_in_vain = 0
        self._next_s = _FIRST_S
        self._until = float("-inf")
        self._reason = ""

    def note(self, batch: Batch) -> None:
        """Takes in what came of a list; a candidate, or a failure that is nobody's setting, ends the row."""
        refused = next((failure for failure in batch.failures if failure.reason in OPERATORS_REASONS), None)
        if batch.crafted or any(failure.reason not in OPERATORS_REASONS for failure in batch.failures):
            self._num_in_vain, self._next_s = 0, _FIRST_S
            return
        if refused is None:
            return
        self._num_in_vain += sum(failure.count for failure in batch.failures)
        if self._num_in_vain >= NUM_IN_VAIN and not self.reason:
            self._reason = f"{refused.role}: {refused.detail}"
            self._until = self._now() + self._next_s
            self._next_s = min(_LONGEST_S, 2 * self._next_s)

    @property
    def reason(self) -> str:
        """Why no lease should be taken now, in words; empty where there is no recess."""
        return f"every candidate fails, out of the spiral for a while: {self._reason}" if self._now() < self._until else ""
