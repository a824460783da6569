"""Whose turn it is among the lists of one cell, so that each begins with images that those before it did not have."""

from dataclasses import dataclass

_ITERATION_STEP = 0.618
"""An iteration begins so far into the order after where the one before it began: the golden ratio's multiples spread evenly."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a list stands among those of its cell. `order` names what has an order of its own, such as a run's cell."""

    order: str
    iteration: int = 1
    num_before: int = 0
    """Candidates of the lists before it in the iteration."""

    def offset(self, num_images: int) -> int:
        """At which of so many images the list begins."""
        return (self.num_before + round((self.iteration - 1) * _ITERATION_STEP * num_images)) % num_images if num_images else 0
