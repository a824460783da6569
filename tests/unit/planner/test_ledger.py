import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.planner.codec import from_json, to_json
from services.planner.consequences import causes, consequences
from services.planner.ledger import OPENING, CellLedger, PlanLedger, lease_id_of
from services.planner.plan_steps import Reviewed, apply_review, open_plan
from services.planner.routing import Routes
from shared.domain import ClosingReason, Lease, Recipe
from shared.errors import NotFound
from shared.events import GenerationRequested, PlanClosed, RunFinished
from shared.ports import Cause
from tests.unit.planner.planted import BASE, CELLS, routes

ROUTES = routes(rendered=CELLS)


def plan_for(quotas: list[int], *, max_candidates: int = 1000, lease_size: int = 16, acceptance: float = 0.8) -> PlanLedger:
    return PlanLedger(
        run_id="run",
        iteration=1,
        seed=7,
        base_model=BASE,
        replay_share=0.2,
        lease_size=lease_size,
        max_candidates=max_candidates,
        image_size_px=64,
        opened_for=Cause("opening", 1),
        cells=tuple(CellLedger(cell, Recipe.TEACH, quota, 0, acceptance, 0.3, True) for cell, quota in zip(CELLS, quotas, strict=False)),
    )


def leases(plan: PlanLedger, lease_id: str) -> list[Lease]:
    return [event.lease for event in consequences(plan, lease_id) if isinstance(event, GenerationRequested)]


def review(lease: Lease, acceptance: float = 0.7, **counts: int) -> Reviewed:
    """What quality would say: the lease's seed alone decides."""
    rng = random.Random(lease.seed)
    accepted = min(lease.num_wanted, sum(rng.random() < acceptance for _ in range(lease.num_candidates)))
    return Reviewed(
        lease.lease_id,
        counts.get("num_made", lease.num_candidates),
        counts.get("num_accepted", accepted),
        counts.get("easy", 0),
        counts.get("hard", 0),
        Cause(lease.lease_id, 1),
    )


def play(plan: PlanLedger, rng: random.Random, acceptance: float, routes: Routes = ROUTES) -> tuple[PlanLedger, list[object]]:
    """Reviews leases in a random order, each one or several times, through the stored form; returns the end and every event said."""
    plan = open_plan(plan, routes)
    said: dict[str, tuple[object, ...]] = {OPENING: consequences(plan, OPENING)}
    waiting = leases(plan, OPENING)
    done: list[Lease] = []
    while waiting or (done and rng.random() < 0.3):
        if waiting and (not done or rng.random() < 0.7):
            lease = waiting.pop(rng.randrange(len(waiting)))
            done.append(lease)
            plan = apply_review(plan, review(lease, acceptance), routes)
            said[lease.lease_id] = consequences(plan, lease.lease_id)
            waiting += leases(plan, lease.lease_id)
        else:
            lease = rng.choice(done)
            assert apply_review(plan, review(lease, acceptance), routes) == plan
            assert consequences(plan, lease.lease_id) == said[lease.lease_id]
        plan = from_json(PlanLedger, to_json(plan))
    return plan, [event for events in said.values() for event in events]


@given(
    quotas=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    max_candidates=st.integers(1, 600),
    acceptance=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    seeds=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)
@settings(max_examples=60, deadline=None)
def test_any_order_of_reviews_and_redeliveries_gives_the_same_samples_and_one_end(
    quotas: list[int], max_candidates: int, acceptance: float, seeds: tuple[int, int]
) -> None:
    plan = plan_for(quotas, max_candidates=max_candidates)
    first, events = play(plan, random.Random(seeds[0]), acceptance)
    second, _ = play(plan, random.Random(seeds[1]), acceptance)
    assert [[(lease.num_candidates, lease.num_accepted) for lease in cell.leases] for cell in first.cells] == [
        [(lease.num_candidates, lease.num_accepted) for lease in cell.leases] for cell in second.cells
    ]
    ends = [event for event in events if not isinstance(event, GenerationRequested)]
    assert len(ends) == 1
    requested = [event.lease.lease_id for event in events if isinstance(event, GenerationRequested)]
    assert len(requested) == len(set(requested))
    assert sum(cell.num_asked for cell in first.cells) <= max_candidates
    assert all(cell.num_accepted <= cell.num_samples for cell in first.cells)
    (end,) = ends
    if isinstance(end, RunFinished):
        assert not any(cell.num_accepted for cell in first.cells)
        return
    assert isinstance(end, PlanClosed)
    is_met = all(cell.num_accepted == cell.num_samples for cell in first.cells)
    assert end.reason is (ClosingReason.QUOTAS_MET if is_met else ClosingReason.BUDGET_SPENT)
    assert {short.cell for short in end.shortfalls} == {cell.cell for cell in first.cells if cell.deficit}


def test_first_leases_are_sized_to_quota_over_expected_acceptance_and_capped() -> None:
    plan = open_plan(plan_for([4, 60], acceptance=0.5), ROUTES)
    first, second = leases(plan, OPENING)
    assert (first.num_candidates, first.num_wanted, first.lease_id) == (8, 4, f"run.1.{CELLS[0].category}.{CELLS[0].question_type}.1")
    assert (second.num_candidates, second.num_wanted) == (16, 16)


def test_refill_grows_where_acceptance_turns_out_low() -> None:
    plan = open_plan(plan_for([10], lease_size=500), ROUTES)
    (lease,) = leases(plan, OPENING)
    plan = apply_review(plan, review(lease, num_accepted=1), ROUTES)
    (refill,) = leases(plan, lease.lease_id)
    assert refill.num_wanted == 9
    assert refill.num_candidates > 9 / 0.8 * 1.5
    assert refill.ordinal == 2
    assert refill.seed != lease.seed


def test_leases_get_harder_where_candidates_are_too_easy() -> None:
    plan = open_plan(plan_for([40]), ROUTES)
    (lease,) = leases(plan, OPENING)
    harder = apply_review(plan, review(lease, num_accepted=4, easy=12), ROUTES)
    easier = apply_review(plan, review(lease, num_accepted=4, hard=12), ROUTES)
    assert leases(harder, lease.lease_id)[0].difficulty > lease.difficulty > leases(easier, lease.lease_id)[0].difficulty


def test_budget_that_one_cell_does_not_need_goes_to_one_that_lacks_samples() -> None:
    plan = open_plan(plan_for([10, 10], max_candidates=40, lease_size=40), ROUTES)
    good, poor = leases(plan, OPENING)
    plan = apply_review(plan, review(good, num_accepted=10), ROUTES)
    accepted, asked, lease = 0, 0, poor
    while True:
        plan = apply_review(plan, review(lease, num_accepted=1), ROUTES)
        accepted, asked = accepted + 1, asked + lease.num_candidates
        following = leases(plan, lease.lease_id)
        if not following:
            break
        (lease,) = following
    assert asked == 40 - good.num_candidates > 20
    assert plan.closed_by == lease.lease_id


def test_late_review_of_a_closed_plan_changes_nothing_and_foreign_lease_is_refused() -> None:
    plan = open_plan(plan_for([3]), ROUTES)
    (lease,) = leases(plan, OPENING)
    closed = apply_review(plan, review(lease, num_accepted=3), ROUTES)
    assert apply_review(closed, review(lease, num_accepted=0), ROUTES) == closed
    with pytest.raises(NotFound, match="never issued"):
        apply_review(closed, replace(review(lease), lease_id=lease_id_of(plan, CELLS[0], 9)), ROUTES)


def test_ledger_of_another_version_is_read() -> None:
    plan = open_plan(plan_for([3]), ROUTES)
    newer = to_json(plan).replace(b'"seed":7', b'"seed":7,"not_yet_invented":[1]')
    older = Path(__file__).with_name("plan-v0.2.0.json").read_bytes()
    assert newer != to_json(plan) != older
    assert from_json(PlanLedger, newer) == from_json(PlanLedger, older) == plan
    assert leases(plan, OPENING)[0].guidance is None


def test_every_review_can_be_said_again_from_the_ledger_alone() -> None:
    plan, events = play(plan_for([30, 20]), random.Random(1), 0.6)
    again = [event for _, lease_id in causes(plan) for event in consequences(plan, lease_id)]
    assert sorted(map(repr, again)) == sorted(map(repr, events))
