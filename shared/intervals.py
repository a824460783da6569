"""Intervals on proportions: pure arithmetic that rooms decide by and reports show, so that both mean the same."""

import math
from statistics import NormalDist

from shared.domain import Interval

LEVEL = 0.95


def wilson(num_correct: int, num_answers: int, level: float = LEVEL) -> Interval:
    """Wilson's interval on a proportion; all of [0, 1] where nothing was answered."""
    if num_answers == 0:
        return Interval(0.0, 1.0, level)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = num_correct / num_answers
    scale = 1 + z * z / num_answers
    centre = (rate + z * z / (2 * num_answers)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / num_answers + z * z / (4 * num_answers**2))
    # Where all or none are correct, an end is exact; rounding would put it past a bound of 0 or 1.
    low = max(0.0, centre - half) if num_correct else 0.0
    high = min(1.0, centre + half) if num_correct < num_answers else 1.0
    return Interval(low, high, level)
