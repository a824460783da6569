"""From a diagnosis to a mixture: how many samples each cell gets, and how each cell is trained."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from services.planner.apportionment import apportion, normalised, within_bounds
from services.planner.yields import CellOutcome, cost_factors, yield_factors
from shared.domain import Cell, CellDiagnosis, CellQuota, Recipe, Strategy
from shared.errors import Rejected
from shared.run_spec import PlanningSpec

DPE_STEPS: tuple[tuple[float, float], ...] = ((0.70, 2.0), (0.75, 1.5), (0.85, 1.0), (0.90, 0.8), (math.inf, 0.5))
"""DPE's published rule: below the first threshold that exceeds the accuracy, the weight beside it."""


def plan_mixture(
    diagnosis: Sequence[CellDiagnosis],
    spec: PlanningSpec,
    *,
    previous_weights: Mapping[Cell, float] | None = None,
    history: Sequence[CellOutcome] = (),
    costs_s: Mapping[Cell, float] | None = None,
    training_recipe: str = "by_cell",
    held_back: Collection[Cell] = (),
) -> tuple[CellQuota, ...]:
    """The mixture in the order of cells: quotas sum to `spec.num_samples` exactly, weights to 1.

    Cells that are `held_back` have no part in it, whatever the strategy: their weight goes to the others. Where no other has any, the
    mixture is empty.

    `history` holds what earlier mixtures bought, `costs_s` seconds per accepted sample. Only `learnability` reads those two and
    `previous_weights`, and only it applies the floor and the change bound: the other strategies are what their names say, so that they
    can be compared. `training_recipe` "sft" teaches every cell, "grpo" reinforces every cell, "by_cell" lets each cell's pass rate decide.

    Raises:
        Rejected: no cell, a planning value out of range, or fixed weights that are all zero.
    """
    check_planning(spec)
    if not diagnosis:
        raise Rejected("the diagnosis names no cell: nothing to plan for")
    by_cell = {cell.cell: cell for cell in diagnosis if cell.cell not in held_back}
    if len({cell.cell for cell in diagnosis}) != len(diagnosis):
        raise Rejected("the diagnosis names a cell twice")
    previous = _without(previous_weights or {}, held_back)
    weigh: dict[Strategy, Callable[[], dict[Cell, float]]] = {
        Strategy.LEARNABILITY: lambda: _learnability(by_cell, spec, previous, history, costs_s or {}) if by_cell else {},
        Strategy.DPE_STEPS: lambda: {cell: dpe_step_weight(d) for cell, d in by_cell.items()},
        Strategy.ERROR: lambda: {cell: 1 - d.pass_rate for cell, d in by_cell.items()},
        Strategy.UNIFORM: lambda: dict.fromkeys(by_cell, 1.0),
        Strategy.FIXED: lambda: {weight.cell: weight.weight for weight in spec.fixed_weights if weight.cell not in held_back},
    }
    weights = weigh[spec.strategy]()
    if not any(weights.values()):
        if held_back:
            return ()
        raise Rejected(f"strategy {spec.strategy.value}: every weight is zero")
    weights = normalised(weights)
    quotas = apportion(weights, spec.num_samples)
    recipes = {"sft": Recipe.TEACH, "grpo": Recipe.REINFORCE}
    return tuple(
        CellQuota(
            cell=cell,
            num_samples=quotas[cell],
            weight=weights[cell],
            recipe=recipes.get(training_recipe) or (recipe_of(by_cell[cell], spec) if cell in by_cell else Recipe.TEACH),
        )
        for cell in sorted(weights)
    )


def _without(weights: Mapping[Cell, float], held_back: Collection[Cell]) -> dict[Cell, float]:
    """The weights without those of some cells, in proportion: what a bound on change is measured against when those leave."""
    left = {cell: weight for cell, weight in weights.items() if cell not in held_back}
    return normalised(left) if len(left) < len(weights) and left else left


def recipe_of(diagnosis: CellDiagnosis, spec: PlanningSpec) -> Recipe:
    """How a cell is trained: reinforced where rollouts differ often enough to learn from their difference, else taught.

    Reinforcement has no gradient where all rollouts of a question agree, so a cell without one right and one wrong answer is taught.
    """
    is_mixed = 0 < diagnosis.num_correct < diagnosis.num_answers
    is_within = spec.reinforce_low <= diagnosis.pass_rate <= spec.reinforce_high
    return Recipe.REINFORCE if is_mixed and is_within else Recipe.TEACH


def learnable_mass(diagnosis: CellDiagnosis, spec: PlanningSpec) -> float:
    """The share of a cell's answers that its training can reach, in [0, 1].

    Reinforced: E[p(1-p)], the error mass times the chance that a rollout shows the right answer. Taught: the label shows it always, but a
    shown answer is learnt less surely than one found; how much less is what `reinforce_low` says, the pass rate from which finding is
    worth more than being shown. So a taught cell counts E[1-p] times `reinforce_low`, and never less than it would reinforced: the two
    meet at the border, and a cell at 0 % is neither written off, as p(1-p) alone would, nor four times as loud as one at 50 %.
    """
    if recipe_of(diagnosis, spec) is Recipe.REINFORCE:
        return diagnosis.learnability
    return max(diagnosis.learnability, spec.reinforce_low * (1 - diagnosis.pass_rate))


def dpe_step_weight(diagnosis: CellDiagnosis) -> float:
    """DPE's published step rule on the cell's plain accuracy; 0 for a cell without answers, which that rule does not see.

    Its authors then take floor(N * share) per type and lose the remainder to a pool that no type may use; here quotas are rounded by
    largest remainder and sum to N.
    """
    if diagnosis.num_answers == 0:
        return 0.0
    accuracy = diagnosis.num_correct / diagnosis.num_answers
    return next(weight for threshold, weight in DPE_STEPS if accuracy < threshold)


def _learnability(
    by_cell: Mapping[Cell, CellDiagnosis],
    spec: PlanningSpec,
    previous: Mapping[Cell, float],
    history: Sequence[CellOutcome],
    costs_s: Mapping[Cell, float],
) -> dict[Cell, float]:
    yields = yield_factors(history, sorted(by_cell))
    costs = cost_factors({cell: cost for cell, cost in costs_s.items() if cell in by_cell})
    wanted = normalised({cell: learnable_mass(d, spec) * yields[cell] * costs.get(cell, 1.0) for cell, d in by_cell.items()})
    floor = spec.floor_share / len(wanted)
    wanted = {cell: (1 - spec.floor_share) * weight + floor for cell, weight in wanted.items()}
    factor = spec.max_change_factor
    low = {cell: max(floor, previous[cell] / factor if cell in previous else 0.0) for cell in wanted}
    high = {cell: max(floor, previous[cell] * factor) if cell in previous else 1.0 for cell in wanted}
    return within_bounds(wanted, low, high)


def check_planning(spec: PlanningSpec) -> None:
    """Refuses planning values that make no plan.

    Raises:
        Rejected: naming the value, what it is and what it must be.
    """
    shares = (
        *(spec.floor_share, spec.replay_share, spec.reinforce_low, spec.reinforce_high, spec.promotion_alpha, spec.max_cell_regression),
        *(spec.annotate_share, *(share.share for share in spec.kind_shares)),
    )
    kinds = [share.kind for share in spec.kind_shares]
    rules: tuple[tuple[bool, str], ...] = (
        (spec.num_samples >= 1, f"num_samples is {spec.num_samples}: ask for at least one accepted sample"),
        (
            spec.max_candidates >= spec.num_samples,
            f"max_candidates is {spec.max_candidates}: allow at least num_samples, {spec.num_samples}, since some are rejected",
        ),
        (spec.lease_size >= 1, f"lease_size is {spec.lease_size}: a lease asks for at least one candidate"),
        (all(0 <= share <= 1 for share in shares), "shares, pass rates and levels must lie in [0, 1]"),
        (spec.replay_share < 1, f"replay_share is {spec.replay_share}: some of the training set must be new"),
        (spec.max_change_factor > 1, f"max_change_factor is {spec.max_change_factor}: it must exceed 1, or no mixture could ever change"),
        (spec.reinforce_low <= spec.reinforce_high, "reinforce_low exceeds reinforce_high"),
        (len(set(kinds)) == len(kinds), "kind_shares names a kind twice"),
        (sum(share.share for share in spec.kind_shares) <= 1 + 1e-9, "kind_shares sum to more than 1"),
        (all(weight.weight >= 0 for weight in spec.fixed_weights), "fixed_weights must not be negative"),
        (
            spec.strategy is not Strategy.FIXED or any(weight.weight > 0 for weight in spec.fixed_weights),
            "strategy fixed needs fixed_weights with a positive weight",
        ),
    )
    for is_kept, complaint in rules:
        if not is_kept:
            raise Rejected(f"planning: {complaint}")
