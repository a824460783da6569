"""What people said of labels, and what is held back for it."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.planner.audits import CellAudits, LabelWord, held_back, with_word
from services.planner.codec import from_json, to_json
from services.planner.mixture import plan_mixture
from services.planner.run_ledger import RunLedger, decide, plan_of
from shared.domain import AuditVerdict, CellWeight, EndReason, Strategy
from shared.events import LabelAudited
from shared.ports import Cause
from shared.run_spec import PlanningSpec, RunSpec
from tests.unit.planner.planted import CELLS, diagnosed, run_spec
from tests.unit.planner.test_run_ledger import SPEC, STRONG, WEAK, after, report

CORRECT, WRONG, UNSURE = AuditVerdict.CORRECT, AuditVerdict.WRONG, AuditVerdict.UNSURE
counts = st.tuples(st.integers(0, 40), st.integers(0, 40))


def audits(num_correct: int, num_wrong: int, num_unsure: int = 0, cell: int = 0) -> CellAudits:
    verdicts = [CORRECT] * num_correct + [WRONG] * num_wrong + [UNSURE] * num_unsure
    return CellAudits(CELLS[cell], tuple(LabelWord(f"{number:03}", 1, verdict) for number, verdict in enumerate(verdicts)))


def word(sample: int, verdict: AuditVerdict, revision: int = 1) -> LabelAudited:
    return LabelAudited("run", 1, CELLS[0], f"{sample:03}", verdict, "ann", "", revision)


@pytest.mark.parametrize(
    ("num_correct", "num_wrong", "bound", "is_held"),
    [
        (0, 0, 1.0, False),
        (13, 0, 1.0, False),
        (4, 1, 0.95, False),
        (3, 2, 0.95, True),
        (13, 2, 0.95, False),
        (12, 3, 0.95, True),
        (3, 2, 0.88, False),
        (0, 40, 0.0, False),
    ],
)
def test_cell_is_held_back_where_the_interval_lies_below_the_bound(num_correct: int, num_wrong: int, bound: float, is_held: bool) -> None:
    assert held_back([audits(num_correct, num_wrong)], bound) == ((CELLS[0],) if is_held else ())


@given(counts, st.integers(0, 40), st.floats(0, 1), st.floats(0, 1))
def test_right_labels_never_hold_a_cell_back_wrong_ones_never_free_it_and_doubt_does_neither(
    seen: tuple[int, int], num_unsure: int, bound: float, stricter: float
) -> None:
    is_held = bool(held_back([audits(*seen)], bound))
    right, wrong = seen
    assert bool(held_back([audits(right, wrong, num_unsure)], bound)) == is_held
    assert is_held or not held_back([audits(right + 1, wrong)], bound)
    assert not is_held or held_back([audits(right, wrong + 1)], bound)
    assert not is_held or held_back([audits(right, wrong)], max(bound, stricter))


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(AuditVerdict), st.integers(1, 4)), max_size=30), st.randoms())
def test_of_each_sample_the_highest_revision_counts_in_whatever_order_and_number_they_come(
    said: list[tuple[int, AuditVerdict, int]], shuffler: random.Random
) -> None:
    first_of = {(sample, revision): verdict for sample, verdict, revision in reversed(said)}
    words = [word(sample, verdict, revision) for (sample, revision), verdict in first_of.items()]
    heard = CellAudits(CELLS[0])
    repeated = words * 2
    shuffler.shuffle(repeated)
    for event in repeated:
        heard = from_json(CellAudits, to_json(with_word(heard, event)))
    last = {sample: max(revision for other, revision in first_of if other == sample) for sample, _ in first_of}
    assert heard.words == tuple(LabelWord(f"{sample:03}", last[sample], first_of[sample, last[sample]]) for sample in sorted(last))
    assert all(with_word(heard, event) is heard for event in words)


@given(
    st.lists(st.integers(0, 99), min_size=2, max_size=12),
    st.sampled_from(Strategy),
    st.sets(st.integers(0, 11)),
    st.booleans(),
)
def test_held_back_cells_get_nothing_and_the_others_all_of_it(
    correct: list[int], strategy: Strategy, held: set[int], is_second: bool
) -> None:
    diagnosis = [diagnosed(cell, number) for cell, number in zip(CELLS, correct, strict=False)]
    spec = PlanningSpec(strategy=strategy, num_samples=500, max_candidates=900)
    if strategy is Strategy.FIXED:
        spec = replace(spec, fixed_weights=tuple(CellWeight(cell.cell, 1.0 + number) for number, cell in enumerate(diagnosis)))
    previous = {quota.cell: quota.weight for quota in plan_mixture(diagnosis, spec)} if is_second else {}
    cells = {CELLS[number] for number in held}
    quotas = plan_mixture(diagnosis, spec, previous_weights=previous, held_back=cells)
    assert {quota.cell for quota in quotas} == {cell.cell for cell in diagnosis} - cells
    if quotas:
        assert sum(quota.num_samples for quota in quotas) == 500
        assert sum(quota.weight for quota in quotas) == pytest.approx(1)


@given(st.lists(st.integers(0, 99), min_size=3, max_size=8), st.randoms())
def test_no_weight_changes_beyond_the_bound_but_by_what_the_held_back_leave(correct: list[int], shuffler: random.Random) -> None:
    spec = PlanningSpec(num_samples=500, max_candidates=900)
    changed = list(correct)
    shuffler.shuffle(changed)
    first, second = ([diagnosed(cell, number) for cell, number in zip(CELLS, rates, strict=False)] for rates in (correct, changed))
    previous = {quota.cell: quota.weight for quota in plan_mixture(first, spec)}
    gone = max(previous, key=lambda cell: previous[cell])
    quotas = plan_mixture(second, spec, previous_weights=previous, held_back={gone})
    floor = spec.floor_share / len(quotas)
    for quota in quotas:
        before = previous[quota.cell] / (1 - previous[gone])
        assert before / 2 - 1e-9 <= quota.weight <= max(floor, before * 2) + 1e-9


def decided(spec: RunSpec, *held: int) -> RunLedger:
    cells = tuple(CELLS[number] for number in held)
    return decide(None, report(0), spec, cause=Cause("report", 0), trained_on=None, unit_costs_s={}, held_back=cells)


def test_decision_and_plan_keep_what_is_held_back_and_a_cell_comes_back_later() -> None:
    ledger = decided(SPEC, 0)
    planned = ledger.last.planned
    assert planned is not None
    assert (planned.held_back, [quota.cell for quota in planned.quotas]) == ((WEAK,), [STRONG])
    assert plan_of(ledger, planned, SPEC, start_difficulty=0.3, top_difficulty=0.9).held_back == (WEAK,)
    again = after(ledger, report(0))
    assert again is ledger, "the decision stands, whatever was audited since"
    later = after(ledger, report(1, p_value=0.5)).last.planned
    assert later is not None
    assert (later.held_back, [quota.cell for quota in later.quotas]) == ((), [WEAK, STRONG])


def test_run_ends_where_every_cell_is_held_back() -> None:
    end = decided(run_spec(num_samples=40, max_candidates=100), 0, 1).last.finished
    assert end is not None
    assert end.reason is EndReason.NO_SAMPLES
    assert f"too many wrong labels in {WEAK}, {STRONG}" in end.explanation
