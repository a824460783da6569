"""What a candidate takes, as measured: the planner gives leases to the cheapest kind that serves a cell."""

_MEMORY = 0.9
"""What is left of earlier measurements' weight after a lease."""
_PRIOR_WEIGHT = 8.0
"""The prior counts like a lease of so many candidates."""


class UnitCost:
    """A moving average of seconds per candidate, weighed by candidates."""

    def __init__(self, prior_s: float) -> None:
        self._seconds = prior_s * _PRIOR_WEIGHT
        self._candidates = _PRIOR_WEIGHT

    def add(self, seconds: float, num_candidates: int) -> None:
        """Counts a lease that took so long and made so many candidates; none made counts in full as cost."""
        self._seconds = self._seconds * _MEMORY + seconds
        self._candidates = self._candidates * _MEMORY + num_candidates

    @property
    def per_candidate_s(self) -> float:
        """Seconds per candidate; finite, for the weight never reaches zero."""
        return self._seconds / max(self._candidates, 1e-3)
