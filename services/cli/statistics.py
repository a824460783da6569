"""Figures of the report: intervals on accuracies, and paired differences over cells. Pure arithmetic."""

import math
from collections.abc import Sequence
from statistics import NormalDist

from shared.domain import Interval
from shared.intervals import LEVEL


def macro_interval(counts: Sequence[tuple[int, int]], level: float = LEVEL) -> Interval:
    """A normal interval on the mean of cell accuracies, from (correct, answered) of each cell.

    Each cell's variance is that of the rate with one success and one failure added, so that a perfect cell isn't taken for certain.
    """
    answered = [(correct, n) for correct, n in counts if n > 0]
    if not answered:
        return Interval(0.0, 1.0, level)
    macro = sum(correct / n for correct, n in answered) / len(answered)
    variance = 0.0
    for correct, n in answered:
        smoothed = (correct + 1) / (n + 2)
        variance += smoothed * (1 - smoothed) / n
    half = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(variance) / len(answered)
    return Interval(max(0.0, macro - half), min(1.0, macro + half), level)


def mean_difference(differences: Sequence[int], level: float = LEVEL) -> tuple[float, Interval]:
    """The mean of one cell's paired differences (each -1, 0 or 1) and a normal interval on it."""
    n = len(differences)
    mean = sum(differences) / n
    half = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(_variance(differences) / n)
    return mean, Interval(max(-1.0, mean - half), min(1.0, mean + half), level)


def macro_difference(cells: Sequence[Sequence[int]], level: float = LEVEL) -> tuple[float, Interval]:
    """The mean over cells of the mean paired difference, stratified: every cell weighs the same, whatever its size.

    Args:
        cells: for each cell the paired differences of its probes, each -1 (lost), 0 or 1 (gained); no cell is empty.
        level: coverage.

    Raises:
        ValueError: there is no cell, or an empty one.
    """
    if not cells or not all(cells):
        raise ValueError("a paired difference needs at least one pair in every cell")
    gain = sum(sum(cell) / len(cell) for cell in cells) / len(cells)
    variance = sum(_variance(cell) / len(cell) for cell in cells) / len(cells) ** 2
    half = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(variance)
    return gain, Interval(max(-1.0, gain - half), min(1.0, gain + half), level)


def _variance(differences: Sequence[int]) -> float:
    """Unbiased, with one gained and one lost pair added, so that a handful of ties isn't taken for certainty."""
    values = [*differences, 1, -1]
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
