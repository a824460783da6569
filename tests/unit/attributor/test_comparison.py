import math

import numpy as np
import pytest

from services.attributor.comparison import compare
from shared.errors import Rejected
from tests.unit.attributor.planted import CELLS, answer, planted_pair

CHART, MAP = CELLS[6], CELLS[18]


def test_each_probe_is_fixed_regressed_still_failing_or_new() -> None:
    before = [answer(p, CHART, 0, o) for p, o in (("a", "incorrect"), ("b", "correct"), ("c", "ungradable"), ("d", "correct"))]
    after = [answer(p, CHART, 0, o) for p, o in (("a", "correct"), ("b", "incorrect"), ("c", "incorrect"), ("d", "correct"))]
    after += [answer("n", CHART, 0, "incorrect", split="fresh-2"), answer("o", CHART, 0, "correct", split="fresh-2")]
    (cell,) = compare(before, after, baseline_model_id="r/0").cells
    assert (cell.num_pairs, cell.num_fixed, cell.num_still_failing, cell.num_regressed, cell.num_new_failures) == (4, 1, 1, 1, 1)
    assert cell.gain == 0


def test_only_greedy_answers_to_core_probes_that_both_could_be_asked_are_paired() -> None:
    before = [answer("a", CHART, 0, "correct"), answer("a", CHART, 1, "incorrect"), answer("b", CHART, 0, "failed")]
    after = [answer("a", CHART, 0, "correct"), answer("a", CHART, 1, "incorrect"), answer("b", CHART, 0, "correct")]
    after += [answer("f", CHART, 0, "correct", split="fresh-1")]
    before += [answer("f", CHART, 0, "incorrect", split="fresh-1")]
    comparison = compare(before, after, baseline_model_id="r/0")
    assert comparison.num_pairs == 1
    assert comparison.p_value == 1


def test_cells_count_the_same_whatever_their_size() -> None:
    before = [answer(f"c{i}", CHART, 0, "incorrect") for i in range(30)] + [answer(f"m{i}", MAP, 0, "correct") for i in range(3)]
    after = [answer(f"c{i}", CHART, 0, "correct") for i in range(30)] + [answer(f"m{i}", MAP, 0, "incorrect") for i in range(3)]
    assert compare(before, after, baseline_model_id="r/0").macro_gain == pytest.approx(0)


def test_p_value_is_the_sign_test_where_cells_are_equal() -> None:
    before = [answer(f"{i}", CHART, 0, "incorrect") for i in range(5)] + [answer(f"{i}", CHART, 0, "correct") for i in range(5, 10)]
    after = [answer(f"{i}", CHART, 0, "correct") for i in range(9)] + [answer("9", CHART, 0, "incorrect")]
    assert compare(before, after, baseline_model_id="r/0").p_value == pytest.approx((math.comb(6, 5) + 1) / 2**6)


def test_p_value_over_cells_of_different_size_agrees_with_full_enumeration() -> None:
    changes = {CELLS[0]: (7, 4, 1), CELLS[1]: (11, 3, 2), CELLS[2]: (5, 1, 2)}
    before, after = [], []
    for cell, (size, fixed, regressed) in changes.items():
        for i in range(size):
            was, now = ("incorrect", "correct") if i < fixed else ("correct", "incorrect" if i < fixed + regressed else "correct")
            before.append(answer(f"{cell}{i}", cell, 0, was))
            after.append(answer(f"{cell}{i}", cell, 0, now))
    seen = sum((f - r) / n for n, f, r in changes.values())
    exact = 0.0
    for a in range(6):
        for b in range(6):
            for c in range(4):
                if (2 * a - 5) / 7 + (2 * b - 5) / 11 + (2 * c - 3) / 5 >= seen - 1e-12:
                    exact += math.comb(5, a) * math.comb(5, b) * math.comb(3, c) / 2**13
    assert compare(before, after, baseline_model_id="r/0").p_value == pytest.approx(exact, abs=2e-3)


def test_nothing_shared_and_exam_answers_are_refused() -> None:
    with pytest.raises(Rejected, match="nothing to compare"):
        compare([answer("a", CHART, 0, "correct")], [answer("b", CHART, 0, "correct")], baseline_model_id="r/0")
    with pytest.raises(Rejected, match="exam"):
        compare([answer("a", CHART, 0, "correct", split="exam")], [], baseline_model_id="r/0")


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.95])
def test_without_a_gain_the_test_is_significant_no_more_often_than_its_level(rate: float) -> None:
    rng = np.random.default_rng(int(rate * 100))
    sizes = {cell: 10 + 3 * i for i, cell in enumerate(CELLS[:5])}
    num_runs = 400
    hits = sum(
        compare(*planted_pair(rng, dict.fromkeys(sizes, (rate, rate)), sizes), baseline_model_id="r/0").p_value <= 0.05
        for _ in range(num_runs)
    )
    assert hits / num_runs <= 0.05 + 2.5 * (0.05 * 0.95 / num_runs) ** 0.5


def test_macro_interval_covers_the_planted_gain() -> None:
    rng = np.random.default_rng(11)
    sizes = {cell: 12 + 4 * (i % 3) for i, cell in enumerate(CELLS[:8])}
    rates = {cell: (0.3 + 0.05 * i, 0.45 + 0.05 * i) for i, cell in enumerate(sizes)}
    covered = []
    for _ in range(300):
        interval = compare(*planted_pair(rng, rates, sizes), baseline_model_id="r/0").interval
        covered.append(interval.low <= 0.15 <= interval.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_cell_interval_stays_wide_where_few_probes_changed() -> None:
    before = [answer(f"{i}", CHART, 0, "correct") for i in range(20)]
    (cell,) = compare(before, before, baseline_model_id="r/0").cells
    assert cell.interval.low < -0.05 < 0.05 < cell.interval.high
