"""Is a question at the edge of what the policy can do? Read off the posterior of its pass rate, not off a raw share.

GRPO learns nothing from questions that the policy always or never solves, so the candidates of cells that are reinforced must lie in
a window. Few rollouts say little: a candidate is refused where the posterior is sure that it lies outside, and kept where it may well
lie inside.
"""

import math
from dataclasses import dataclass

from shared.domain import RejectionReason


@dataclass(frozen=True, slots=True)
class Window:
    """Pass rates worth training on: [low, high], and how sure the posterior must be of the outside, in (0, 1)."""

    low: float
    high: float
    confidence: float

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"pass rates must satisfy 0 <= low < high <= 1, not {self.low} and {self.high}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), not {self.confidence}")


@dataclass(frozen=True, slots=True)
class Rollouts:
    """How often the policy solved a question; an ungradable rollout is no solution."""

    num_rollouts: int
    num_correct: int
    majority_answer: str = ""
    majority_share: float = 0.0
    """Of all rollouts, those that gave the most frequent answer."""

    @property
    def pass_rate(self) -> float:
        """Share of correct rollouts."""
        return self.num_correct / self.num_rollouts


def probability_below(rollouts: Rollouts, pass_rate: float) -> float:
    """Posterior probability that the true pass rate lies below a value, from a uniform prior."""
    # The regularised incomplete beta function at whole numbers is the tail of a binomial with one trial more.
    trials = rollouts.num_rollouts + 1
    return math.fsum(
        math.comb(trials, solved) * pass_rate**solved * (1 - pass_rate) ** (trials - solved)
        for solved in range(rollouts.num_correct + 1, trials + 1)
    )


def is_against(rollouts: Rollouts, num_required: int) -> bool:
    """Whether every rollout came to one and the same answer that is not the label: it may be the label that is wrong."""
    return rollouts.num_rollouts >= num_required and rollouts.num_correct == 0 and rollouts.majority_share == 1.0


def outside(rollouts: Rollouts, window: Window) -> RejectionReason | None:
    """TOO_HARD or TOO_EASY where the posterior says that the pass rate lies outside the window, else None."""
    if probability_below(rollouts, window.low) >= window.confidence:
        return RejectionReason.TOO_HARD
    if 1 - probability_below(rollouts, window.high) >= window.confidence:
        return RejectionReason.TOO_EASY
    return None
