"""What earlier mixtures really bought: the gain per accepted sample of each cell, and what it took to have a sample accepted.

The bandit of the `learnability` strategy. A cell's gain is measured on few probes, so most of its ups and downs are noise; what differs
between cells beyond that noise is estimated from all records (empirical Bayes). With no sign of a real difference every factor is 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.domain import Cell

DISCOUNT = 0.7
"""A record's precision falls by this factor with every iteration: skills saturate, so old gains say less."""
CURIOSITY = 0.5
"""Standard deviations of the posterior that count as gain: the less is known of a cell, the more it may still give."""
MOST = 2.0
"""No cell's factor exceeds this, or falls below its inverse."""
HIGHEST_COST_S = 1e9
"""No cost per accepted sample counts as more seconds, or as fewer than its inverse: registrations may say anything."""
PRIOR_CANDIDATES = 16.0
"""The prior acceptance rate counts as so many candidates."""


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What one iteration's samples did for a cell: `gain` in accuracy on the core probes, with its standard error."""

    iteration: int
    cell: Cell
    num_accepted: int
    num_candidates: int
    gain: float
    standard_error: float


def yield_factors(history: Sequence[CellOutcome], cells: Sequence[Cell]) -> dict[Cell, float]:
    """How much more or less than average each cell gives per accepted sample, in [1/2, 2]; 1 where nothing is known."""
    records = _per_sample(history)
    if len(records) < 2:
        return dict.fromkeys(cells, 1.0)
    weights = {cell: 1 / variance for cell, (_, variance) in records.items()}
    total = sum(weights.values())
    mean = sum(weights[cell] * gain for cell, (gain, _) in records.items()) / total
    spread = sum(weights[cell] * (gain - mean) ** 2 for cell, (gain, _) in records.items())
    room = total - sum(weight**2 for weight in weights.values()) / total
    between = max(0.0, (spread - (len(records) - 1)) / room)  # variance of true gains (DerSimonian and Laird)
    scale = abs(mean) + math.sqrt(between)
    factors = dict.fromkeys(cells, 1.0)
    if between == 0.0:
        return factors
    for cell in cells:
        gain, variance = records.get(cell, (mean, math.inf))
        trust = between / (between + variance)
        advantage = trust * (gain - mean) + CURIOSITY * math.sqrt(between * (1 - trust))
        factors[cell] = min(MOST, max(1 / MOST, 1 + advantage / scale))
    return factors


def _per_sample(history: Sequence[CellOutcome]) -> dict[Cell, tuple[float, float]]:
    """Gain per accepted sample and its variance, per cell over all iterations, recent ones weighing more."""
    latest = max((record.iteration for record in history), default=0)
    precision: dict[Cell, float] = {}
    weighted: dict[Cell, float] = {}
    for record in history:
        if record.num_accepted == 0 or record.standard_error <= 0:
            continue
        trust = DISCOUNT ** (latest - record.iteration) * (record.num_accepted / record.standard_error) ** 2
        precision[record.cell] = precision.get(record.cell, 0.0) + trust
        weighted[record.cell] = weighted.get(record.cell, 0.0) + trust * record.gain / record.num_accepted
    return {cell: (weighted[cell] / precision[cell], 1 / precision[cell]) for cell in sorted(precision)}


def acceptance_rates(history: Sequence[CellOutcome], priors: Mapping[Cell, float]) -> dict[Cell, float]:
    """Expected share of candidates that are accepted, per cell: the measured one, smoothed towards the prior; in (0, 1)."""
    accepted = {cell: prior * PRIOR_CANDIDATES for cell, prior in priors.items()}
    asked = dict.fromkeys(priors, PRIOR_CANDIDATES)
    for record in history:
        if record.cell in accepted:
            accepted[record.cell] += record.num_accepted
            asked[record.cell] += record.num_candidates
    return {cell: min(1.0, accepted[cell] / asked[cell]) for cell in priors}


def cost_factors(costs_s: Mapping[Cell, float]) -> dict[Cell, float]:
    """Cheaper cells give more for the same money: root of the mean cost over the cell's cost per accepted sample, in [1/2, 2].

    The root, because the number of accepted samples is what the plan fixes; cost only tips the scales.
    """
    if not costs_s:
        return {}
    costs_s = {cell: min(HIGHEST_COST_S, max(1 / HIGHEST_COST_S, cost)) for cell, cost in costs_s.items()}
    mean = math.exp(sum(math.log(cost) for cost in costs_s.values()) / len(costs_s))
    return {cell: min(MOST, max(1 / MOST, math.sqrt(mean / cost))) for cell, cost in costs_s.items()}
