"""What becomes of a plan when generators vanish, join and are paused: no lease stuck or issued twice, no budget overrun, one end."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.planner.codec import from_json, to_json
from services.planner.consequences import causes, consequences, unsaid, with_said
from services.planner.ledger import OPENING, PlanLedger, as_answered, is_as_issued
from services.planner.plan_steps import apply_review, catch_up, give_up, open_plan
from services.planner.routing import Routing, route
from services.planner.waiting import Vigil, Wait, waits_of
from shared.domain import Cell, ClosingReason, GeneratorIdentity, GeneratorRegistration, KindShare, Lease, LeaseTask
from shared.events import Event, GenerationRequested, PlanClosed, RunFinished
from tests.unit.planner.planted import CELLS, routes
from tests.unit.planner.test_ledger import ROUTES, leases, plan_for, review

KINDS = {"rendered": CELLS[:4], "agentic": CELLS[2:6], "scanned": CELLS[5:8]}
LIMITS = {"rendered": 0, "agentic": 5, "scanned": 3}
SHARES = (KindShare("agentic", 0.3), KindShare("scanned", 0.2))


def living(kind: str, cells: tuple[Cell, ...] | None = None, *, is_draining: bool = False, limit: int = 0) -> GeneratorRegistration:
    maker = GeneratorIdentity(kind, "1", "a")
    return GeneratorRegistration(maker, cells or KINDS[kind], 1.0, "", is_draining, can_annotate=limit > 0, max_lease_size=limit)


def by_watch(plan: PlanLedger) -> list[Lease]:
    """The leases that the watch has to say."""
    return [event.lease for _, events in unsaid(plan) for event in events if isinstance(event, GenerationRequested)]


def asked(events: Iterable[Event]) -> set[str]:
    """The ids of the leases that were asked for."""
    return {event.lease.lease_id for event in events if isinstance(event, GenerationRequested)}


def kinds(routing: Routing) -> list[list[str]]:
    """Who takes leases, cell by cell."""
    return [[offer.kind for offer in offers] for _, offers in sorted(routing.routes.items())]


@dataclass
class World:
    """A plan, its generators, and what each kind holds; every word passes through the ledger as it is stored."""

    plan: PlanLedger
    rng: random.Random
    alive: set[str]
    paused: set[str] = field(default_factory=set)
    held: dict[tuple[str, str], Lease] = field(default_factory=dict)
    said: list[Event] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)

    def routing(self) -> Routing:
        return route([living(kind, limit=self.limits.get(kind, 0)) for kind in sorted(self.alive)], self.paused)

    def open(self) -> None:
        self.plan = open_plan(self.plan, self.routing().routes)
        self.hear(consequences(self.plan, OPENING))

    def hear(self, events: tuple[Event, ...]) -> None:
        self.plan = from_json(PlanLedger, to_json(self.plan))
        self.said += events
        for event in events:
            if isinstance(event, GenerationRequested):
                lease = event.lease
                self.held[lease.lease_id, lease.kind] = lease
                limit = self.limits.get(lease.kind, 0)
                assert lease.num_wanted <= lease.num_candidates <= (limit or lease.num_candidates)
                assert lease.task is None or (limit and lease.task is LeaseTask.ANNOTATE)

    def look(self, hopeless: frozenset[Cell] = frozenset()) -> None:
        """The watch; now and then it dies between ledger and word, or between word and note."""
        if self.plan.closed_by is None:
            routing = self.routing()
            self.plan = give_up(catch_up(self.plan, routing.routes, routing.kinds), routing.routes, hopeless)
        if self.rng.random() < 0.3:
            return
        for _, events in unsaid(self.plan):
            self.hear(events)
            if self.rng.random() < 0.7:
                self.plan = with_said(self.plan, events)

    def answer(self) -> None:
        """A living kind answers a lease that it holds, perhaps one that another kind answered long ago."""
        mine = sorted(key for key in self.held if key[1] in self.alive)
        if mine:
            lease = self.held[self.rng.choice(mine)]
            before = self.plan
            assert is_as_issued(before, lease), "who answers what it got, answers what was issued"
            self.plan = apply_review(as_answered(before, lease), review(lease, 0.6), self.routing().routes)
            if self.plan != before:
                self.hear(consequences(self.plan, lease.lease_id))

    def check(self) -> None:
        cells = self.plan.cells
        assert sum(cell.num_asked for cell in cells) <= self.plan.max_candidates
        assert all(cell.num_accepted <= cell.num_samples for cell in cells)
        assert all(lease.num_accepted is not None for cell in cells for lease in cell.leases[:-1]), "one open lease a cell"
        assert (self.plan.closed_by is not None) == (not any(cell.is_open or cell.is_waiting for cell in cells))

    def end(self) -> None:
        """Everybody comes and stays."""
        self.alive, self.paused = set(KINDS), set()
        for _ in range(10_000):
            self.look()
            self.check()
            if self.plan.closed_by is not None and not unsaid(self.plan):
                return
            self.answer()
        raise AssertionError("the plan never ended")


@given(
    quotas=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    max_candidates=st.integers(1, 200),
    seed=st.integers(0, 10**6),
    has_patience=st.booleans(),
    has_limits=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whoever_comes_and_goes_no_lease_is_lost_or_doubled_and_the_plan_ends_once(
    quotas: list[int], max_candidates: int, seed: int, has_patience: bool, has_limits: bool
) -> None:
    rng = random.Random(seed)
    plan = plan_for(quotas, max_candidates=max_candidates)
    if has_limits:
        plan = replace(plan, kind_shares=SHARES, annotate_share=0.4)
    world = World(plan, rng, {kind for kind in KINDS if rng.random() < 0.6}, limits=LIMITS if has_limits else {})
    world.open()
    for _ in range(60):
        step = rng.random()
        kind = rng.choice(sorted(KINDS))
        if step < 0.15:
            world.alive ^= {kind}
        elif step < 0.25:
            world.paused ^= {kind}
        elif step < 0.6:
            waits = waits_of(world.plan, world.routing())
            hopeless = frozenset(wait.cell for wait in waits if wait.lease_id is None and wait.paused is None)
            world.look(hopeless if not has_patience else frozenset())
        else:
            world.answer()
        world.check()
    world.end()

    assert len({repr(event) for event in world.said if not isinstance(event, GenerationRequested)}) == 1
    again = [event for _, lease_id in causes(world.plan) for event in consequences(world.plan, lease_id)]
    assert asked(again) == asked(world.said), "every lease that a crash would have said again was said"
    if has_patience and not has_limits:
        undisturbed = World(plan_for(quotas, max_candidates=max_candidates), random.Random(seed), set(KINDS))
        undisturbed.open()
        undisturbed.end()

        def figures(plan: PlanLedger) -> list[list[tuple[int, int | None]]]:
            return [[(lease.num_candidates, lease.num_accepted) for lease in cell.leases] for cell in plan.cells]

        assert figures(world.plan) == figures(undisturbed.plan), "who comes when changes no sample"


def test_open_lease_of_a_vanished_kind_goes_to_another_under_the_same_id() -> None:
    plan = open_plan(plan_for([5, 5]), routes(rendered=CELLS[:1], agentic=CELLS[1:2]))
    _, second = leases(plan, OPENING)
    handed_over = catch_up(plan, ROUTES, {"rendered"})
    (again,) = by_watch(handed_over)
    assert again == replace(second, kind="rendered")
    assert leases(handed_over, OPENING)[1] == again, "said after a crash as well"
    assert catch_up(plan, {}, {"rendered"}) == plan, "a lease that nobody else can take waits"
    assert catch_up(plan, ROUTES, {"rendered", "agentic"}) == plan, "a living kind keeps its lease, paused or draining"


def test_lease_that_went_to_a_third_kind_before_the_second_was_told_is_said_to_the_third() -> None:
    plan = open_plan(plan_for([5]), routes(rendered=CELLS[:1]))
    to_agentic = catch_up(plan, routes(agentic=CELLS[:1]), {"agentic"})
    ((_, words),) = unsaid(to_agentic)
    to_scanned = catch_up(to_agentic, routes(scanned=CELLS[:1]), {"scanned"})
    assert [lease.kind for lease in by_watch(with_said(to_scanned, words))] == ["scanned"]
    assert unsaid(with_said(to_agentic, words)) == []


def test_cell_that_nobody_served_gets_its_lease_when_a_kind_joins_and_other_words_keep_theirs() -> None:
    plan = open_plan(plan_for([5, 5], max_candidates=20), routes(rendered=CELLS[:1]))
    (first,) = leases(plan, OPENING)
    plan = apply_review(plan, review(first, num_accepted=5), ROUTES)
    assert plan.closed_by is None, "the other cell waits"
    plan = catch_up(plan, ROUTES, {"rendered"})
    ((cause, (request,)),) = unsaid(plan)
    assert cause == plan.opened_for
    assert isinstance(request, GenerationRequested)
    assert request.lease.cell == CELLS[1]
    assert consequences(plan, OPENING) == (GenerationRequested("run", 1, first), request)


def test_cells_stay_short_once_nothing_else_is_left_and_their_budget_goes_to_others() -> None:
    plan = open_plan(plan_for([12, 5], max_candidates=40, lease_size=40), routes(rendered=CELLS[:1]))
    (first,) = leases(plan, OPENING)
    assert give_up(plan, ROUTES, {CELLS[1]}) == plan, "a lease is open"
    plan = apply_review(plan, review(first, num_accepted=3), routes(rendered=CELLS[:1]))
    (second,) = leases(plan, first.lease_id)
    plan = apply_review(plan, review(second, num_accepted=3), routes(rendered=CELLS[:1]))
    while following := leases(plan, second.lease_id):
        (second,) = following
        plan = apply_review(plan, review(second, num_accepted=0), routes(rendered=CELLS[:1]))
    assert give_up(plan, ROUTES, ()) == plan, "somebody may still come"
    plan = give_up(plan, routes(rendered=CELLS[:1]), {CELLS[1]})
    (extra,) = by_watch(plan)
    assert extra.cell == CELLS[0]
    plan = apply_review(plan, review(extra, num_accepted=0), routes(rendered=CELLS[:1]))
    assert sum(cell.num_asked for cell in plan.cells) == 40
    assert plan.closed_by == extra.lease_id
    end = consequences(plan, extra.lease_id)[-1]
    assert isinstance(end, PlanClosed)
    assert end.reason is ClosingReason.NO_GENERATOR
    assert [(short.cell, short.num_accepted) for short in end.shortfalls] == [(CELLS[0], 6), (CELLS[1], 0)]


def test_plan_that_nobody_comes_to_serve_ends_the_run() -> None:
    plan = open_plan(plan_for([5, 5]), {})
    assert (plan.closed_by, consequences(plan, OPENING)) == (None, ())
    plan = give_up(plan, {}, set(CELLS))
    ((cause, (end,)),) = unsaid(plan)
    assert cause == plan.opened_for
    assert isinstance(end, RunFinished)
    assert "no living generator" in end.explanation
    assert unsaid(with_said(plan, [end])) == []


def test_what_waits_says_for_whom_and_what_helps() -> None:
    plan = open_plan(plan_for([5, 5, 5, 5]), routes(rendered=CELLS[:1], agentic=CELLS[1:2]))
    routing = route([living("rendered", CELLS[:1]), living("scanned", CELLS[2:3])], {"scanned"})
    gone, held_back, unserved = waits_of(plan, routing)
    assert (gone.cell, gone.kind, gone.lease_id) == (CELLS[1], "agentic", leases(plan, OPENING)[1].lease_id)
    assert "kind agentic" in gone.remedy
    assert (held_back.cell, held_back.lease_id) == (CELLS[2], None)
    assert "spiral generators resume scanned" in held_back.remedy
    assert (unserved.cell, unserved.kind, unserved.paused) == (CELLS[3], None, None)


def test_paused_kinds_get_nothing_and_draining_ones_only_what_nobody_else_serves() -> None:
    draining = living("rendered", CELLS[:2], is_draining=True)
    assert kinds(route([draining, replace(living("agentic", CELLS[:1]), unit_cost_s=9.0)])) == [["agentic"], ["rendered"]]
    routing = route([living("rendered", CELLS[:2]), replace(living("agentic", CELLS[:1]), unit_cost_s=9.0)], {"rendered"})
    assert (kinds(routing), routing.paused) == ([["agentic"]], {CELLS[1]: "rendered"})
    assert routing.kinds == {"rendered", "agentic"}


def test_patience_counts_what_was_seen_without_a_break_and_never_for_paused_kinds() -> None:
    vigil, unserved, held_back = Vigil(60.0), Wait(CELLS[0], None, None, None), Wait(CELLS[1], None, None, "rendered")
    for now in range(0, 60, 5):
        assert vigil.hopeless("run", [unserved, held_back], float(now)) == frozenset()
    assert vigil.hopeless("run", [unserved, held_back], 60.0) == {CELLS[0]}
    assert vigil.hopeless("run", [unserved, held_back], 90.0) == frozenset(), "the broker was away: nobody could announce himself"
    assert vigil.hopeless("run", [held_back], 95.0) == frozenset()
    assert vigil.hopeless("run", [unserved], 151.0) == frozenset(), "it was served in between"
