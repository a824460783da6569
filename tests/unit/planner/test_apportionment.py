import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.planner.apportionment import apportion, normalised, within_bounds
from tests.unit.planner.planted import CELLS

unhurried = settings(deadline=None, max_examples=80)
weights = st.lists(st.floats(0, 1e6), min_size=1, max_size=36).map(lambda values: dict(zip(CELLS, values, strict=False)))
positive = weights.filter(lambda given: sum(given.values()) > 1e-6)


@given(positive, st.integers(0, 5000))
@unhurried
def test_quotas_sum_to_the_budget_exactly(given_weights: dict, budget: int) -> None:
    quotas = apportion(given_weights, budget)
    assert sum(quotas.values()) == budget
    assert all(quota >= 0 for quota in quotas.values())
    assert all(quotas[cell] == 0 for cell, weight in given_weights.items() if weight == 0)


@given(positive, st.integers(36, 5000))
@unhurried
def test_no_cell_of_positive_weight_is_invisible(given_weights: dict, budget: int) -> None:
    quotas = apportion(given_weights, budget)
    assert all(quotas[cell] >= 1 for cell, weight in given_weights.items() if weight > 0)


@given(positive, st.integers(0, 5000), st.randoms())
@unhurried
def test_order_of_the_weights_does_not_matter(given_weights: dict, budget: int, shuffler: random.Random) -> None:
    items = list(given_weights.items())
    shuffler.shuffle(items)
    assert apportion(dict(items), budget) == apportion(given_weights, budget)


@given(positive, st.integers(1, 5000))
@unhurried
def test_quotas_stay_within_one_of_their_exact_share_where_that_is_one_or_more(given_weights: dict, budget: int) -> None:
    quotas, total = apportion(given_weights, budget), sum(given_weights.values())
    if all(weight / total * budget >= 1 for weight in given_weights.values() if weight):
        assert all(abs(quotas[cell] - weight / total * budget) <= 1 + 1e-9 for cell, weight in given_weights.items())


def test_published_floor_rule_loses_what_largest_remainder_keeps() -> None:
    steps = dict(zip(CELLS, (2.0, 2.0, 1.5, 1.5, 2.0, 2.0, 2.0, 0.8, 0.5, 1.0, 0.5), strict=False))
    total = sum(steps.values())
    assert sum(int(1000 * weight / total) for weight in steps.values()) == 993
    assert sum(apportion(steps, 1000).values()) == 1000


def test_negative_or_vanishing_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        apportion({CELLS[0]: -1.0}, 5)
    with pytest.raises(ValueError, match="zero"):
        apportion({CELLS[0]: 0.0}, 5)


@given(positive, positive, st.floats(1.05, 5))
@unhurried
def test_bounded_weights_sum_to_one_and_change_by_no_more_than_the_factor(new: dict, old: dict, factor: float) -> None:
    size = min(len(new), len(old))
    wanted, before = normalised(dict(list(new.items())[:size])), normalised(dict(list(old.items())[:size]))
    low, high = ({cell: w / factor for cell, w in before.items()}, {cell: w * factor for cell, w in before.items()})
    bounded = within_bounds(wanted, low, high)
    assert sum(bounded.values()) == pytest.approx(1)
    assert all(low[cell] - 1e-9 <= bounded[cell] <= high[cell] + 1e-9 for cell in bounded)


@given(positive)
@unhurried
def test_bounds_that_bind_nothing_change_nothing(new: dict) -> None:
    wanted = normalised(new)
    assert within_bounds(wanted, dict.fromkeys(wanted, 0.0), dict.fromkeys(wanted, 1.0)) == pytest.approx(wanted, abs=1e-6)
