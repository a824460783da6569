import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.attributor.diagnosis import benjamini_hochberg, diagnose
from shared.domain import ErrorType
from shared.errors import Rejected
from tests.unit.attributor.planted import CELLS, answer, planted_answers

CHART, MAP = CELLS[6], CELLS[18]


def test_failed_answers_are_neither_right_nor_wrong() -> None:
    rows = [answer("a", CHART, 0, "correct"), answer("a", CHART, 1, "failed"), answer("b", CHART, 0, "ungradable")]
    (cell,) = diagnose(rows)
    assert (cell.num_probes, cell.num_answers, cell.num_correct, cell.num_ungradable) == (2, 2, 1, 1)


def test_cell_whose_probes_all_failed_is_reported_as_unknown_not_as_weak() -> None:
    rows = planted_answers(np.random.default_rng(1), {CHART: 0.9}) + [answer("m", MAP, i, "failed") for i in range(5)]
    unknown = next(cell for cell in diagnose(rows) if cell.cell == MAP)
    assert unknown.num_answers == 0
    assert not unknown.is_weak
    assert unknown.interval.high - unknown.interval.low > 0.3


def test_exam_answers_are_refused() -> None:
    with pytest.raises(Rejected, match="exam"):
        diagnose([answer("a", CHART, 0, "correct", split="exam")])


def test_no_answers_are_refused() -> None:
    with pytest.raises(Rejected, match="no answers"):
        diagnose([])


def test_unreliable_skill_is_told_from_a_missing_one() -> None:
    rows = [
        answer("sometimes", CHART, 0, "incorrect", error=ErrorType.NEAR_MISS),
        answer("sometimes", CHART, 1, "correct"),
        answer("never", CHART, 0, "incorrect", error=ErrorType.NEAR_MISS),
        answer("never", CHART, 1, "ungradable"),
    ]
    (cell,) = diagnose(rows)
    assert {e.error_type: e.count for e in cell.errors} == {ErrorType.UNSTABLE: 1, ErrorType.NEAR_MISS: 1, ErrorType.UNGRADABLE: 1}


@given(seed=st.integers(0, 10**6), rates=st.lists(st.floats(0.02, 0.98), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_figures_are_sound_and_do_not_depend_on_the_order_of_answers(seed: int, rates: list[float]) -> None:
    rows = planted_answers(np.random.default_rng(seed), dict(zip(CELLS, rates, strict=False)), num_probes=6)
    diagnosis = diagnose(rows)
    random.Random(seed).shuffle(rows)
    assert [c.cell for c in diagnose(rows)] == [c.cell for c in diagnosis]
    for first, second in zip(diagnosis, diagnose(rows), strict=True):
        assert first.pass_rate == pytest.approx(second.pass_rate)
        assert 0 <= first.interval.low < first.pass_rate < first.interval.high <= 1
        assert 0 < first.learnability <= 0.25
        assert 0 <= first.p_value <= first.adjusted_p_value <= 1
        assert sum(e.count for e in first.errors) == first.num_answers - first.num_correct


def test_five_like_answers_to_one_probe_tell_no_more_than_one() -> None:
    def of(num_samples: int) -> float:
        rows = [answer(f"{i}", CHART, j, "correct" if i % 2 else "incorrect") for i in range(40) for j in range(num_samples + 1)]
        (cell,) = diagnose(rows)
        return cell.interval.high - cell.interval.low

    assert of(4) == pytest.approx(of(0), rel=0.05)


def test_few_answers_are_pulled_towards_their_kind_and_many_stand_alone() -> None:
    rng = np.random.default_rng(3)
    crowd = planted_answers(rng, dict.fromkeys(CELLS[:12], 0.8), rho=0)
    few = [answer(f"f{i}", CELLS[12], 0, "incorrect") for i in range(2)]
    many = [answer(f"m{i}", CELLS[13], 0, "incorrect") for i in range(80)]
    rates = {c.cell: c.pass_rate for c in diagnose(crowd + few + many)}
    assert rates[CELLS[12]] > 0.25
    assert rates[CELLS[13]] < 0.1


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_equal_cells_are_rarely_called_weak(rate: float, rho: float) -> None:
    rng = np.random.default_rng(int(100 * rate + rho))
    num_runs = 150
    wrong = sum(
        any(c.is_weak for c in diagnose(planted_answers(rng, dict.fromkeys(CELLS[:8], rate), num_probes=16, rho=rho)))
        for _ in range(num_runs)
    )
    # at most 5 % of runs, plus two and a half standard errors of this very estimate
    assert wrong / num_runs <= 0.05 + 2.5 * (0.05 * 0.95 / num_runs) ** 0.5


def test_false_discovery_rate_holds_beside_true_weaknesses_and_those_are_found() -> None:
    rng = np.random.default_rng(5)
    false, found = [], []
    for _ in range(60):
        rates = {cell: 0.25 if i < 4 else 0.85 for i, cell in enumerate(CELLS[:16])}
        claims = {c.cell for c in diagnose(planted_answers(rng, rates, num_probes=30)) if c.is_weak}
        found.append(sum(cell in claims for cell in CELLS[:4]) / 4)
        false.append(sum(cell not in CELLS[:4] for cell in claims) / max(1, len(claims)))
    assert np.mean(false) <= 0.05
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("num_cells", [6, 24])
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_intervals_cover_the_planted_truth(num_cells: int, rho: float) -> None:
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(100 if num_cells == 6 else 30):
        rates = dict(zip(CELLS, np.clip(rng.beta(1.5, 1.2, num_cells), 0.03, 0.97).tolist(), strict=False))
        covered += [c.interval.low <= rates[c.cell] <= c.interval.high for c in diagnose(planted_answers(rng, rates, rho=rho))]
    assert 0.92 <= np.mean(covered) <= 0.985


def test_benjamini_hochberg_by_hand() -> None:
    adjusted = benjamini_hochberg(np.array([0.04, 0.01, 0.03, 0.9]))
    assert adjusted.tolist() == pytest.approx([0.04 * 4 / 3, 0.04, 0.04 * 4 / 3, 0.9])
