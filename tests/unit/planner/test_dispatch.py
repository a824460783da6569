"""Who gets a lease, how large it is, and what it asks for."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.planner.codec import from_json, to_json
from services.planner.consequences import unsaid
from services.planner.ledger import OPENING, PlanLedger, as_answered, is_as_issued
from services.planner.mixture import check_planning
from services.planner.plan_steps import apply_review, catch_up, open_plan
from services.planner.routing import Offer, Routes, route, shares_of
from services.planner.yields import MOST, cost_factors
from shared.domain import GeneratorIdentity, GeneratorRegistration, KindShare, Lease, LeaseTask
from shared.errors import Rejected
from shared.events import GenerationRequested
from shared.run_spec import PlanningSpec
from tests.unit.planner.planted import CELLS, routes
from tests.unit.planner.test_ledger import leases, plan_for, play, review

RENDERED, AGENTIC, SCANNED = Offer("rendered"), Offer("agentic", 9.0, 8, True), Offer("scanned", 20.0, 3)
THIRD = (KindShare("agentic", 0.3),)


def asked(plan: PlanLedger, cell: int = 0) -> Counter[str]:
    """Candidates by kind."""
    counts = Counter[str]()
    for entry in plan.cells[cell].leases:
        counts[entry.kind] += entry.num_candidates
    return counts


def played(plan: PlanLedger, offered: Routes, acceptance: float = 1.0, seed: int = 0) -> PlanLedger:
    return play(plan, random.Random(seed), acceptance, offered)[0]


def everywhere(*offers: Offer) -> Routes:
    return dict.fromkeys(CELLS, offers)


shares = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(
    lambda drawn: tuple(
        KindShare(kind, share / max(1.0, sum(drawn))) for kind, share in zip(("agentic", "scanned", "elsewhere"), drawn, strict=True)
    )
)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=4), shares, st.integers(1, 64))
@settings(max_examples=80, deadline=None)
def test_kinds_have_their_shares_of_what_is_asked_for(quotas: list[int], kind_shares: tuple[KindShare, ...], lease_size: int) -> None:
    plan = replace(plan_for(quotas, acceptance=1.0, lease_size=lease_size), kind_shares=kind_shares)
    plan = played(plan, everywhere(RENDERED, AGENTIC, SCANNED))
    named = {share.kind: share.share for share in kind_shares}
    wanted = {"agentic": named["agentic"], "scanned": named["scanned"], "rendered": 1 - named["agentic"] - named["scanned"]}
    for number, quota in enumerate(quotas):
        counts = asked(plan, number)
        assert counts.total() == quota, "shares change no number of candidates"
        assert all(abs(counts[kind] - share * quota) <= 1.5 for kind, share in wanted.items()), counts


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.integers(1, 300),
    st.sampled_from([0.3, 0.8]),
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)
@settings(max_examples=60, deadline=None)
def test_kinds_sizes_and_tasks_do_not_depend_on_the_order_of_reviews(
    quotas: list[int], max_candidates: int, acceptance: float, seeds: tuple[int, int]
) -> None:
    plan = replace(plan_for(quotas, max_candidates=max_candidates), kind_shares=THIRD, annotate_share=0.5)
    first, second = (played(plan, everywhere(RENDERED, AGENTIC), acceptance, seed) for seed in seeds)

    def figures(ended: PlanLedger) -> list[list[object]]:
        return [[(entry.issue, entry.num_accepted) for entry in cell.leases] for cell in ended.cells]

    assert figures(first) == figures(second)
    assert all(entry.num_candidates <= 8 for cell in first.cells for entry in cell.leases if entry.kind == "agentic")
    assert all(entry.task is None for cell in first.cells for entry in cell.leases if entry.kind == "rendered")


@pytest.mark.parametrize(
    ("offers", "kind_shares", "expected"),
    [
        ((RENDERED, AGENTIC), (), {"rendered": 1.0, "agentic": 0.0}),
        ((RENDERED, AGENTIC), THIRD, {"rendered": 0.7, "agentic": 0.3}),
        ((AGENTIC,), THIRD, {"agentic": 1.0}),
        ((RENDERED,), THIRD, {"rendered": 1.0}),
        ((RENDERED, AGENTIC), (KindShare("rendered", 0.2),), {"rendered": 0.2, "agentic": 0.8}),
        ((RENDERED, AGENTIC), (KindShare("rendered", 0.2), KindShare("agentic", 0.3)), {"rendered": 0.7, "agentic": 0.3}),
        ((RENDERED, AGENTIC, SCANNED), THIRD, {"rendered": 0.7, "agentic": 0.3, "scanned": 0.0}),
        ((RENDERED, AGENTIC), (KindShare("rendered", 0.0),), {"rendered": 0.0, "agentic": 1.0}),
    ],
)
def test_what_named_kinds_leave_goes_to_the_cheapest_other(
    offers: tuple[Offer, ...], kind_shares: tuple[KindShare, ...], expected: dict[str, float]
) -> None:
    assert shares_of(offers, kind_shares) == pytest.approx(expected)


def test_share_of_a_kind_that_vanished_goes_to_the_others() -> None:
    plan = open_plan(replace(plan_for([40], acceptance=1.0, lease_size=10), kind_shares=THIRD), everywhere(RENDERED, AGENTIC))
    (lease,) = leases(plan, OPENING)
    while lease is not None:
        plan = apply_review(plan, review(lease, 1.0), everywhere(RENDERED))
        lease = next(iter(leases(plan, lease.lease_id)), None)
    assert asked(plan) == {"rendered": 40}


def test_cells_of_one_sample_have_their_share_together() -> None:
    plans = (replace(plan_for([1] * len(CELLS), acceptance=1.0), kind_shares=THIRD, seed=seed) for seed in range(40))
    kinds = [lease.kind for plan in plans for lease in leases(open_plan(plan, everywhere(RENDERED, AGENTIC)), OPENING)]
    assert kinds.count("agentic") / len(kinds) == pytest.approx(0.3, abs=0.04)


def answered(plan: PlanLedger, offered: Routes, made: Callable[[Lease], int]) -> PlanLedger:
    """Every lease of the only cell reviewed, all that was made accepted."""
    plan = open_plan(plan, offered)
    lease = leases(plan, OPENING)[0]
    while lease is not None:
        num = made(lease)
        plan = apply_review(plan, review(lease, num_made=num, num_accepted=num), offered)
        plan = from_json(PlanLedger, to_json(plan))
        lease = next(iter(leases(plan, lease.lease_id)), None)
    return plan


def test_kind_that_has_nothing_left_leaves_its_share_to_the_others() -> None:
    plan = replace(plan_for([200], max_candidates=230, acceptance=1.0, lease_size=10), kind_shares=(KindShare("agentic", 0.5),))
    num_before = 0

    def spent(lease: Lease) -> int:
        nonlocal num_before
        num_before += lease.kind == "agentic"
        return lease.num_candidates if lease.kind == "rendered" or num_before <= 3 else 0

    ended = answered(plan, everywhere(RENDERED, AGENTIC), spent)
    assert ended.cells[0].deficit == 0, "the others fill the cell"
    assert sum(entry.num_made == 0 for entry in ended.cells[0].leases) == 2, "two empty answers say that nothing is left"


def test_kind_that_fails_now_and_then_keeps_its_share() -> None:
    plan = replace(plan_for([200], max_candidates=600, acceptance=1.0, lease_size=10), kind_shares=(KindShare("agentic", 0.5),))
    ended = answered(
        plan, everywhere(RENDERED, AGENTIC), lambda lease: 0 if lease.kind == "agentic" and lease.ordinal % 4 == 0 else lease.num_candidates
    )
    counts = asked(ended)
    assert counts["agentic"] == pytest.approx(counts["rendered"], abs=12)


def test_only_kind_of_a_cell_is_asked_to_the_end_of_the_budget() -> None:
    ended = answered(plan_for([40], max_candidates=90), everywhere(AGENTIC), lambda _: 0)
    assert asked(ended) == {"agentic": 90}


@given(st.floats(0, 1), st.integers(1, 30), st.integers(0, 2**32))
def test_annotation_has_its_share_of_the_leases_of_kinds_that_can(share: float, num_leases: int, seed: int) -> None:
    plan = replace(plan_for([8 * num_leases], acceptance=1.0), annotate_share=share, seed=seed)
    entries = played(plan, everywhere(AGENTIC)).cells[0].leases
    assert len(entries) == num_leases
    for number in range(1, num_leases + 1):
        assert abs(sum(entry.task is LeaseTask.ANNOTATE for entry in entries[:number]) - share * number) < 1 + 1e-6


def test_cells_with_one_lease_have_their_share_of_annotation_together() -> None:
    plans = (replace(plan_for([1] * len(CELLS), acceptance=1.0), annotate_share=0.25, seed=seed) for seed in range(40))
    tasks = [lease.task for plan in plans for lease in leases(open_plan(plan, everywhere(AGENTIC)), OPENING)]
    assert tasks.count(LeaseTask.ANNOTATE) / len(tasks) == pytest.approx(0.25, abs=0.03)


def test_lease_that_goes_to_another_kind_is_cut_to_what_it_takes_and_asks_what_it_can() -> None:
    plan = open_plan(replace(plan_for([40], lease_size=20), annotate_share=1.0), routes(rendered=CELLS))
    (before,) = leases(plan, OPENING)
    moved = catch_up(plan, everywhere(AGENTIC), {"agentic"})
    ((_, (request,)),) = unsaid(moved)
    assert isinstance(request, GenerationRequested)
    assert request.lease == replace(before, kind="agentic", num_candidates=8, num_wanted=8, task=LeaseTask.ANNOTATE)
    back = catch_up(moved, everywhere(RENDERED), {"rendered"})
    ((_, (request,)),) = unsaid(back)
    assert isinstance(request, GenerationRequested)
    assert request.lease == replace(before, kind="rendered", num_candidates=8, num_wanted=8, task=None)
    for lease in (before, leases(moved, OPENING)[0], request.lease):
        assert is_as_issued(back, lease)
        assert not is_as_issued(back, replace(lease, num_candidates=9))
        assert not is_as_issued(back, replace(lease, difficulty=0.9))


def test_late_answer_of_the_kind_that_had_it_first_counts_in_full() -> None:
    plan = open_plan(plan_for([16], lease_size=20), routes(rendered=CELLS))
    (before,) = leases(plan, OPENING)
    moved = catch_up(plan, everywhere(AGENTIC), {"agentic"})
    (after,) = leases(moved, OPENING)
    late = apply_review(as_answered(moved, before), review(before, num_accepted=16), everywhere(AGENTIC))
    assert (late.cells[0].num_asked, late.cells[0].num_accepted, late.closed_by) == (20, 16, before.lease_id)
    assert is_as_issued(late, after), "the other one's answer comes late, and was issued as well"
    assert as_answered(late, after) is late
    early = apply_review(as_answered(moved, after), review(after, num_accepted=8), everywhere(AGENTIC))
    assert (early.cells[0].num_asked - early.cells[0].leases[-1].num_candidates, early.cells[0].num_accepted) == (8, 8)


def test_leases_that_a_planner_without_guidance_or_tasks_hands_on_are_as_issued() -> None:
    plan = open_plan(replace(plan_for([40]), annotate_share=1.0), everywhere(AGENTIC))
    (lease,) = leases(plan, OPENING)
    assert lease.task is LeaseTask.ANNOTATE
    assert is_as_issued(plan, replace(lease, task=None, guidance=None))


def registered(
    instance: str, *, is_draining: bool = False, limit: int = 0, can_annotate: bool = True, cost_s: float = 2.0
) -> GeneratorRegistration:
    return GeneratorRegistration(GeneratorIdentity("agentic", "1", instance), CELLS[:1], cost_s, "", is_draining, can_annotate, limit)


def test_replicas_of_a_kind_share_a_queue_so_a_lease_suits_each_of_them() -> None:
    routing = route([registered("a", limit=12), registered("b", limit=5, can_annotate=False), registered("c", cost_s=1.0)])
    assert routing.routes == {CELLS[0]: (Offer("agentic", 1.0, 5, False),)}
    routing = route([registered("a", limit=12), registered("b", limit=5, is_draining=True)])
    assert routing.routes == {CELLS[0]: (Offer("agentic", 2.0, 12, True),)}


def test_cost_of_a_cell_is_that_of_the_kinds_that_share_it() -> None:
    rendered = GeneratorRegistration(GeneratorIdentity("rendered", "1", "r"), CELLS[:2], 0.001, "", False)
    routing = route([registered("a", cost_s=10.0), rendered])
    assert routing.unit_costs_s(()) == pytest.approx({CELLS[0]: 0.001, CELLS[1]: 0.001})
    assert routing.unit_costs_s(THIRD) == pytest.approx({CELLS[0]: 3.0007, CELLS[1]: 0.001})


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=12))
def test_no_cost_that_a_kind_may_declare_moves_a_cell_beyond_the_bounds(costs: list[float]) -> None:
    factors = cost_factors(dict(zip(CELLS, costs, strict=False)))
    assert all(1 / MOST <= factor <= MOST for factor in factors.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind_shares": (KindShare("a", 0.6), KindShare("b", 0.5))}, "more than 1"),
        ({"kind_shares": (KindShare("a", 0.1), KindShare("a", 0.1))}, "twice"),
        ({"kind_shares": (KindShare("a", -0.1),)}, r"\[0, 1\]"),
        ({"annotate_share": 1.5}, r"\[0, 1\]"),
    ],
)
def test_shares_that_are_none_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        check_planning(replace(PlanningSpec(), **changes))  # type: ignore[arg-type]
