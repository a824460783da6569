"""Intervals of the report."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.statistics import macro_difference, macro_interval
from shared.intervals import wilson


def test_wilson_against_published_values() -> None:
    interval = wilson(12, 17)
    assert (interval.low, interval.high) == (pytest.approx(0.469, abs=1e-3), pytest.approx(0.867, abs=1e-3))
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    assert {wilson(n, n).high for n in range(1, 300)} == {1.0}
    assert {wilson(0, n).low for n in range(1, 300)} == {0.0}


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_stays_in_the_unit_interval(counts: tuple[int, int]) -> None:
    correct, n = counts
    interval = wilson(correct, n)
    assert 0 <= interval.low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= interval.high <= 1


def test_every_cell_weighs_the_same() -> None:
    gain, _ = macro_difference([[1] * 10, [0] * 1000])
    assert gain == pytest.approx(0.5)


def test_the_paired_interval_covers_the_true_gain_about_as_often_as_it_says() -> None:
    rng = Random(3)
    rates = [(0.05 + 0.03 * index, 0.15) for index in range(12)]
    truth = sum(gained - lost for lost, gained in rates) / len(rates)
    hits = 0
    for _ in range(400):
        cells = [rng.choices((-1, 1, 0), (lost, gained, 1 - lost - gained), k=40) for lost, gained in rates]
        _, interval = macro_difference(cells)
        hits += interval.low <= truth <= interval.high
    assert 0.92 <= hits / 400 <= 0.99


def test_ties_alone_are_no_certainty() -> None:
    _, interval = macro_difference([[0, 0, 0]])
    assert interval.low < 0 < interval.high
    assert macro_interval([(5, 5)]).low < 1


def test_no_pairs_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        macro_difference([[1], []])
