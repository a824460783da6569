from dataclasses import replace

import pytest

from services.planner.codec import from_json, to_json
from services.planner.consequences import consequences
from services.planner.ledger import OPENING
from services.planner.plan_steps import Reviewed, apply_review, open_plan
from services.planner.run_ledger import RunLedger, decide, plan_of
from shared.domain import CellGain, EndReason, Interval, ModelVersion, PairedComparison
from shared.errors import Rejected
from shared.events import GenerationRequested, MixturePlanned, ModelPromoted, RunFinished, WeaknessReport
from shared.ports import Cause
from tests.unit.planner.planted import BASE, CELLS, REF, diagnosed, routes, run_spec

SPEC = run_spec(num_iterations=2, num_samples=40, max_candidates=100, lease_size=20)
WEAK, STRONG = CELLS[0], CELLS[1]


def report(iteration: int, rates: tuple[int, int] = (30, 90), *, p_value: float | None = None) -> WeaknessReport:
    model = BASE if iteration == 0 else ModelVersion(f"run/{iteration}", iteration, REF, "run/0")
    comparison = None
    if p_value is not None:
        gains = tuple(CellGain(cell, 30, 0.1, Interval(-0.1, 0.3, 0.95), 6, 3, 3, 0) for cell in (WEAK, STRONG))
        comparison = PairedComparison("run/0", 60, 0.1, Interval(0.01, 0.2, 0.95), p_value, gains)
    return WeaknessReport("run", iteration, model, REF, (diagnosed(WEAK, rates[0]), diagnosed(STRONG, rates[1])), comparison)


def after(ledger: RunLedger | None, said: WeaknessReport, **options: object) -> RunLedger:
    given = {"cause": Cause(f"report-{said.iteration}", said.iteration), "trained_on": None, "unit_costs_s": {}, **options}
    return decide(ledger, said, SPEC, **given)  # type: ignore[arg-type]


def test_base_model_is_champion_without_a_test_and_the_first_mixture_follows() -> None:
    ledger = after(None, report(0))
    promoted, planned = ledger.last.events
    assert isinstance(promoted, ModelPromoted)
    assert promoted.is_promoted
    assert promoted.comparison is None
    assert isinstance(planned, MixturePlanned)
    assert (planned.iteration, planned.base_model, planned.num_samples) == (1, BASE, 40)


def test_better_model_becomes_champion_and_its_diagnosis_steers() -> None:
    ledger = after(after(None, report(0)), report(1, (80, 85), p_value=0.001))
    assert ledger.champion.model_id == "run/1"
    assert ledger.last.planned is not None
    assert ledger.last.planned.base_model.model_id == "run/1"
    assert [cell.num_correct for cell in ledger.diagnosis] == [80, 85]


def test_model_that_is_not_better_leaves_champion_and_its_diagnosis() -> None:
    ledger = after(after(None, report(0)), report(1, (80, 85), p_value=0.4))
    assert ledger.champion == BASE
    assert not ledger.last.promoted.is_promoted
    assert ledger.last.promoted.challenger.model_id == "run/1"
    assert [cell.num_correct for cell in ledger.diagnosis] == [30, 90]


def test_last_iteration_ends_the_run_with_its_champion() -> None:
    ledger = after(after(after(None, report(0)), report(1, p_value=0.001)), report(2, p_value=0.9))
    promoted, finished = ledger.last.events
    assert isinstance(promoted, ModelPromoted)
    assert isinstance(finished, RunFinished)
    assert (finished.reason, finished.champion.model_id) == (EndReason.ITERATIONS_DONE, "run/1")


def test_report_delivered_again_changes_nothing() -> None:
    first = after(None, report(0))
    assert after(first, report(0), cause=Cause("again", 9)) is first
    second = after(first, report(1, p_value=0.001))
    assert after(second, report(0)) is second


def test_report_before_the_base_model_is_refused() -> None:
    with pytest.raises(Rejected, match="no base model"):
        after(None, report(1, p_value=0.01))


def test_what_a_mixture_bought_is_remembered() -> None:
    ledger = after(None, report(0))
    assert ledger.last.planned is not None
    plan = open_plan(plan_of(ledger, ledger.last.planned, SPEC, start_difficulty=0.3, top_difficulty=0.9), routes(rendered=CELLS))
    for event in consequences(plan, OPENING):
        assert isinstance(event, GenerationRequested)
        plan = apply_review(plan, Reviewed(event.lease.lease_id, 5, 5, 0, 0, Cause("r", 1)), {})
    ledger = after(ledger, report(1, p_value=0.001), trained_on=plan)
    assert [(outcome.cell, outcome.num_accepted, outcome.gain) for outcome in ledger.history] == [(WEAK, 5, 0.1), (STRONG, 5, 0.1)]
    assert ledger.history[0].standard_error == pytest.approx(0.2 / 1.96, rel=1e-3)


def test_change_bound_holds_from_one_iteration_to_the_next() -> None:
    first = after(None, report(0, (5, 99)))
    second = after(first, report(1, (99, 5), p_value=0.001))
    before = {weight.cell: weight.weight for weight in first.weights}
    assert all(0.5 - 1e-6 <= weight.weight / before[weight.cell] <= 2 + 1e-6 for weight in second.weights)


def test_plan_is_harder_where_the_model_is_better() -> None:
    ledger = after(None, report(0))
    assert ledger.last.planned is not None
    easy, hard = plan_of(ledger, ledger.last.planned, SPEC, start_difficulty=0.3, top_difficulty=0.9).cells
    assert easy.difficulty == 0.3
    assert 0.7 < hard.difficulty < 0.9


def test_ledger_survives_being_stored() -> None:
    ledger = after(after(None, report(0)), report(1, p_value=0.001))
    assert from_json(RunLedger, to_json(ledger)) == ledger
    with pytest.raises(ValueError, match="RunLedger"):
        from_json(RunLedger, to_json(replace(ledger.champion)))
