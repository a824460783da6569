"""What `spiral generators` says of kinds, versions and replicas."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from services.cli.generator_census import KindCensus, State, take_census
from services.cli.generator_views import census_json, render_census
from services.cli.report_build import Recorded
from shared import events as e
from shared.domain import (
    Cell,
    GeneratorIdentity,
    GeneratorRegistration,
    ImageCategory,
    Lease,
    QuestionType,
    Recipe,
    RejectionReason,
    Verdict,
)
from tests.unit.cli.example_run import CELLS, REF, RUN, model

SECOND = 1_000_000_000
OLD, NEW = GeneratorIdentity("rendered", "1.0.0", "old"), GeneratorIdentity("rendered", "2.0.0", "new")


def living(
    maker: GeneratorIdentity, cost_s: float = 0.002, *, cells: tuple[Cell, ...] = CELLS, is_draining: bool = False
) -> GeneratorRegistration:
    return GeneratorRegistration(maker, cells, cost_s, "127.0.0.1:1", is_draining)


def lease(number: int, kind: str = "rendered") -> Lease:
    return Lease(f"{RUN}.1.{number}", CELLS[number], Recipe.TEACH, kind, 1, 64, 50, 1, 0.5, 64, model(0))


def issued(number: int, at_s: int, kind: str = "rendered") -> Recorded:
    return Recorded(e.GenerationRequested(RUN, 1, lease(number, kind)), at_s * SECOND)


def made(number: int, maker: GeneratorIdentity, at_s: int) -> Recorded:
    return Recorded(e.CandidatesGenerated(RUN, 1, lease(number), REF, 64, maker), at_s * SECOND)


def reviewed(number: int, maker: GeneratorIdentity, num_accepted: int) -> Recorded:
    verdicts = [Verdict(f"{at}", at < num_accepted, None if at < num_accepted else RejectionReason.WRONG_ANSWER, "") for at in range(64)]
    return Recorded(e.CandidatesReviewed(RUN, 1, lease(number), REF, tuple(verdicts), maker), 9 * SECOND)


def shown(*kinds: KindCensus, now_s: int = 100) -> str:
    console = Console(width=180, record=True, file=io.StringIO())
    console.print(render_census(kinds, ["demo"], now_ns=now_s * SECOND))
    return console.export_text()


def test_each_version_has_its_own_work_and_cost() -> None:
    records = [issued(n, n) for n in range(4)] + [made(0, OLD, 4), made(1, NEW, 5), made(2, NEW, 6)]
    records += [reviewed(0, OLD, 16), reviewed(1, NEW, 32)]
    (kind,) = take_census([living(NEW, 0.002)], (), {"rendered"}, records)
    old, new = kind.versions
    assert (old.state, old.num_candidates, old.acceptance, old.unit_cost_s, old.cost_per_accepted_s) == (State.GONE, 64, 0.25, None, None)
    assert (new.state, new.num_leases, new.num_candidates, new.num_reviewed, new.num_accepted) == (State.SERVING, 2, 128, 64, 32)
    assert new.cost_per_accepted_s == pytest.approx(0.004)
    assert (kind.state, kind.num_open_leases, kind.waiting_since_ns, kind.last_answer_ns) == (State.SERVING, 1, 3 * SECOND, 6 * SECOND)


def test_a_lease_waits_for_the_kind_that_got_it_last() -> None:
    records = [issued(0, 1, "agentic"), issued(1, 2, "agentic"), issued(0, 3, "rendered")]
    agentic, rendered = take_census([living(NEW)], (), {"agentic", "rendered"}, records)
    assert (agentic.num_open_leases, agentic.waiting_since_ns, agentic.state) == (1, 2 * SECOND, State.GONE)
    assert (rendered.num_open_leases, rendered.state) == (1, State.SERVING)


def test_a_kind_that_nobody_serves_any_more_says_what_waits_and_since_when() -> None:
    text = shown(*take_census([], (), {"rendered"}, [issued(0, 10), issued(1, 12), made(1, OLD, 20)]))
    assert "rendered has no living replica, last heard of 1 min 20 s ago" in text
    assert "1 lease(s) wait, the oldest issued 1 min 30 s ago" in text
    assert "nothing waits for it" in shown(*take_census([], (), {"rendered"}, []))
    assert "start one with `spiral generators start`" in shown()


@pytest.mark.parametrize(
    ("replicas", "paused", "state", "words"),
    [
        ([living(OLD)], {"rendered"}, "paused", "resume rendered"),
        ([living(OLD, is_draining=True)], set(), "draining", "only replicas that drain"),
        ([living(OLD, is_draining=True), living(NEW)], set(), "serving", "0 + 1 draining"),
        ([], {"rendered"}, "gone", "no living replica"),
    ],
)
def test_states_are_told_apart(replicas: list[GeneratorRegistration], paused: set[str], state: str, words: str) -> None:
    kinds = take_census(replicas, paused, {"rendered"}, [])
    assert census_json(kinds, [])["kinds"][0]["state"] == state
    assert words in shown(*kinds)


def test_a_new_kind_is_listed_with_the_cells_that_nobody_else_serves() -> None:
    cell = Cell(ImageCategory.MEDICAL, QuestionType.TEXT)
    x_rays = living(GeneratorIdentity("x-rays", "0.1.0", "a"), 2.5, cells=(cell,))
    kinds = take_census([living(OLD), x_rays], (), {"rendered", "x-rays"}, [])
    assert census_json(kinds, [])["kinds"][1]["cells"] == [{"category": "medical", "question_type": "text"}]
    assert "x-rays serves medical (text)" in shown(*kinds)
    assert "2.5 s" in shown(*kinds)


def test_what_sets_a_kinds_leases_apart_is_said() -> None:
    agentic = replace(living(GeneratorIdentity("agentic", "1", "a")), can_annotate=True, max_lease_size=8, draws_probes=False)
    (kind,) = take_census([agentic], (), (), [])
    assert "annotates images as they are, at most 8 candidates a lease, draws no probes" in " ".join(shown(kind).split())
    (replica,) = census_json([kind], [])["kinds"][0]["versions"][0]["replicas"]
    assert (replica["can_annotate"], replica["max_lease_size"], replica["draws_probes"]) == (True, 8, False)
    (plain,) = take_census([living(OLD)], (), (), [])
    assert "a lease" not in shown(plain)
