from dataclasses import replace

import numpy as np
import pytest

from services.attributor.comparison import compare
from services.planner.promotion import decide_promotion
from shared.domain import CellGain, Interval, PairedComparison
from tests.unit.attributor.planted import planted_pair
from tests.unit.planner.planted import CELLS

FINE = CellGain(CELLS[0], 40, 0.1, Interval(-0.05, 0.25, 0.95), 6, 10, 2, 0)
COMPARISON = PairedComparison("run/0", 40, 0.1, Interval(0.02, 0.18, 0.95), 0.01, (FINE,))


def test_significant_gain_without_sacrifice_is_promoted_with_its_figures() -> None:
    decision = decide_promotion(COMPARISON, alpha=0.05, max_cell_regression=0.1)
    assert decision.is_promoted
    assert all(figure in decision.explanation for figure in ("+10.0 points", "+2.0 to +18.0", "run/0", "40 paired", "p = 0.01"))


def test_gain_that_chance_explains_keeps_the_champion() -> None:
    decision = decide_promotion(replace(COMPARISON, p_value=0.051), alpha=0.05, max_cell_regression=0.1)
    assert not decision.is_promoted
    assert "no significant gain" in decision.explanation


def test_cell_that_surely_fell_too_far_keeps_the_champion_and_is_named() -> None:
    fell = CellGain(CELLS[1], 60, -0.4, Interval(-0.55, -0.25, 0.95), 0, 10, 24, 0)
    decision = decide_promotion(replace(COMPARISON, cells=(FINE, fell)), alpha=0.05, max_cell_regression=0.1)
    assert not decision.is_promoted
    assert str(CELLS[1]) in decision.explanation
    unsure = replace(fell, interval=Interval(-0.8, -0.05, 0.95))
    assert decide_promotion(replace(COMPARISON, cells=(FINE, unsure)), alpha=0.05, max_cell_regression=0.1).is_promoted


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_models_without_a_true_gain_are_promoted_no_more_often_than_alpha(alpha: float) -> None:
    rng = np.random.default_rng(4)
    sizes = dict(zip(CELLS[:9], (20, 20, 20, 20, 20, 20, 19, 18, 20), strict=True))
    rates = {cell: (0.1 + 0.1 * i, 0.1 + 0.1 * i) for i, cell in enumerate(sizes)}
    num_runs, promoted = 400, 0
    for _ in range(num_runs):
        comparison = compare(*planted_pair(rng, rates, sizes), baseline_model_id="run/0")
        promoted += decide_promotion(comparison, alpha=alpha, max_cell_regression=0.1).is_promoted
    assert promoted / num_runs <= alpha + 2.5 * (alpha * (1 - alpha) / num_runs) ** 0.5


def test_true_gain_is_found() -> None:
    rng = np.random.default_rng(5)
    sizes = dict.fromkeys(CELLS[:9], 20)
    rates = dict.fromkeys(sizes, (0.45, 0.6))
    found = [
        decide_promotion(compare(*planted_pair(rng, rates, sizes), baseline_model_id="run/0"), alpha=0.05, max_cell_regression=0.1)
        for _ in range(60)
    ]
    assert sum(decision.is_promoted for decision in found) >= 50
