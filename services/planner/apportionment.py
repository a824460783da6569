"""Shares into whole samples, and weights within bounds."""

from bisect import bisect_left
from collections.abc import Mapping

from shared.domain import Cell


def apportion(weights: Mapping[Cell, float], budget: int) -> dict[Cell, int]:
    """Whole numbers in proportion to the weights that sum to the budget exactly (largest remainder, ties in the order of cells).

    No cell of positive weight is left out while the budget has one for each: what such a cell lacks is taken from the cells that have
    most. The result does not depend on the order in which the weights are given.

    Raises:
        ValueError: a weight is negative, or all are zero while the budget is not.
    """
    if any(weight < 0 for weight in weights.values()):
        raise ValueError("weights must not be negative")
    total = sum(weights[cell] for cell in sorted(weights))
    if budget and total <= 0:
        raise ValueError("all weights are zero: nothing to apportion to")
    exact = {cell: weights[cell] / total * budget if total else 0.0 for cell in sorted(weights)}
    shares = {cell: int(exact[cell]) for cell in exact}
    by_remainder = sorted(exact, key=lambda cell: (shares[cell] - exact[cell], cell))
    for cell in by_remainder[: budget - sum(shares.values())]:
        shares[cell] += 1
    positive = [cell for cell in exact if weights[cell] > 0]
    if budget >= len(positive):
        for cell in positive:
            if shares[cell] == 0:
                richest = max(positive, key=lambda other: (shares[other], shares[other] - exact[other]))
                shares[richest] -= 1
                shares[cell] += 1
    return shares


def normalised(weights: Mapping[Cell, float]) -> dict[Cell, float]:
    """The same proportions, summing to 1; equal weights where all are zero."""
    total = sum(weights[cell] for cell in sorted(weights))
    return {cell: weights[cell] / total if total > 0 else 1 / len(weights) for cell in sorted(weights)}


def within_bounds(weights: Mapping[Cell, float], low: Mapping[Cell, float], high: Mapping[Cell, float]) -> dict[Cell, float]:
    """Weights that sum to 1 within bounds per cell, in the given proportions wherever no bound holds them.

    Bounds that no such weights can meet give way: lower ones are scaled down, or upper ones up, until they can.
    """
    cells = sorted(weights)
    lows = {cell: low[cell] / max(1.0, sum(low[c] for c in cells)) for cell in cells}
    highs = {cell: max(lows[cell], high[cell]) for cell in cells}
    reach = sum(highs.values())
    if reach < 1.0:
        highs = {cell: highs[cell] / reach for cell in cells}
    smallest = max(weights.values()) * 1e-12 or 1.0  # what a cell of no weight grows from where the others are held back
    grown = {cell: max(weights[cell], smallest) for cell in cells}

    def scaled(factor: float) -> dict[Cell, float]:
        return {cell: min(highs[cell], max(lows[cell], factor * grown[cell])) for cell in cells}

    def total(factor: float) -> float:
        return sum(scaled(factor).values())

    # The total rises with the factor, straight between the factors at which a cell meets one of its bounds.
    turns = sorted({bound[cell] / grown[cell] for bound in (lows, highs) for cell in cells})
    above = bisect_left(turns, 1.0, key=total)
    if above in (0, len(turns)):
        return normalised(scaled(turns[min(above, len(turns) - 1)]))
    (left, right), (under, over) = turns[above - 1 : above + 1], (total(turns[above - 1]), total(turns[above]))
    return scaled(left + (right - left) * (1.0 - under) / (over - under))
