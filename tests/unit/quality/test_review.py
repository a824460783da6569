"""A lease's verdicts: quota, pass rates on their posterior, and no more questions to the policy than needed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.quality.difficulty import Rollouts, Window, outside, probability_below
from services.quality.review import MIN_ASKED, LeaseReview, Standards
from services.quality.screening import Screened, screen
from services.quality.sources import Representation, Shares
from shared.domain import Candidate, Lease, Recipe, Verdict
from shared.domain import RejectionReason as Reason
from tests.unit.quality.suspects import CAPS, candidate, drawing, encoded, known, lease, mark, name

WINDOW = Window(0.3, 0.8, 0.8)
STANDARDS = Standards(WINDOW, 8, Shares(200, 80))


def reviewed(screened: Sequence[Screened], asked_for: Lease, solved: Sequence[int]) -> tuple[tuple[Verdict, ...], list[int]]:
    """The verdicts, and how many questions each turn asked; `solved` is out of 8, by place."""
    places = {each.candidate.candidate_id: at for at, each in enumerate(screened)}
    review, turns = LeaseReview(screened, asked_for, STANDARDS, Representation()), list[int]()
    while asked := review.to_ask():
        turns.append(len(asked))
        review.answer({each.candidate_id: Rollouts(8, solved[places[each.candidate_id]]) for each in asked})
    return review.verdicts(), turns


def sound(num: int) -> tuple[Screened, ...]:
    fingerprint = mark(candidate(0))
    return tuple(Screened(candidate(0, candidate_id=name(str(number))), None, fingerprint) for number in range(num))


def test_the_window_is_on_the_posterior() -> None:
    assert [outside(Rollouts(8, solved), WINDOW) for solved in range(9)] == [Reason.TOO_HARD] * 2 + [None] * 6 + [Reason.TOO_EASY]
    assert outside(Rollouts(2, 0), WINDOW) is None
    assert outside(Rollouts(80, 20), WINDOW) is Reason.TOO_HARD
    assert probability_below(Rollouts(0, 0), 0.3) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("low", "high", "confidence"), [(0.8, 0.3, 0.8), (-0.1, 0.5, 0.8), (0.3, 1.1, 0.8), (0.3, 0.8, 1.0), (float("nan"), 0.8, 0.8)]
)
def test_an_impossible_window_is_refused(low: float, high: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="must"):
        Window(low, high, confidence)


@given(st.integers(1, 64), st.data())
def test_more_solved_is_never_harder(num_rollouts: int, data: st.DataObject) -> None:
    order = [Reason.TOO_HARD, None, Reason.TOO_EASY]
    solved = data.draw(st.integers(0, num_rollouts - 1))
    first, second = (order.index(outside(Rollouts(num_rollouts, count), WINDOW)) for count in (solved, solved + 1))
    assert first <= second


def test_teaching_needs_no_pass_rate() -> None:
    verdicts, turns = reviewed(sound(5), lease(num_wanted=3), [])
    assert not turns
    assert [verdict.accepted for verdict in verdicts] == [True] * 3 + [False] * 2
    assert {verdict.reason for verdict in verdicts[3:]} == {Reason.OVER_QUOTA}
    assert all(verdict.pass_rate is None for verdict in verdicts)


def test_reinforcing_accepts_what_lies_in_the_window_and_asks_no_further_than_needed() -> None:
    solved = [0, 4, 8, 4, 4, 0, 0, 0, 4, 4, 4] + [4] * 20
    verdicts, turns = reviewed(sound(31), lease(recipe=Recipe.REINFORCE, num_wanted=5), solved)
    assert turns == [8, MIN_ASKED]
    assert [at for at, verdict in enumerate(verdicts) if verdict.accepted] == [1, 3, 4, 8, 9]
    assert [verdicts[at].reason for at in (0, 2, 10, 20)] == [Reason.TOO_HARD, Reason.TOO_EASY, Reason.OVER_QUOTA, Reason.OVER_QUOTA]
    assert (verdicts[1].pass_rate, verdicts[2].pass_rate, verdicts[20].pass_rate) == (0.5, 1.0, None)


def test_an_image_that_the_policy_cannot_read_is_refused_not_retried() -> None:
    review = LeaseReview(sound(1), lease(recipe=Recipe.REINFORCE), STANDARDS, Representation())
    review.answer({each.candidate_id: Rollouts(0, 0) for each in review.to_ask()})
    assert [verdict.reason for verdict in review.verdicts()] == [Reason.IMAGE_UNDECODABLE]


@given(st.lists(st.integers(0, 8), max_size=40), st.integers(0, 40))
@settings(deadline=None)
def test_quota_and_order_hold_whatever_the_policy_can_do(solved: list[int], num_wanted: int) -> None:
    verdicts, _ = reviewed(sound(len(solved)), lease(recipe=Recipe.REINFORCE, num_wanted=num_wanted), solved)
    fitting = [at for at, count in enumerate(solved) if outside(Rollouts(8, count), WINDOW) is None]
    assert [at for at, verdict in enumerate(verdicts) if verdict.accepted] == fitting[:num_wanted]
    assert [verdict.candidate_id for verdict in verdicts] == [name(str(at)) for at in range(len(solved))]
    assert all(verdict.accepted or verdict.reason for verdict in verdicts)


def screened_reasons(candidates: Sequence[Candidate]) -> list[Reason | None]:
    screened = screen(candidates, lease(), CAPS, known())
    return [each.refusal.reason if each.refusal else None for each in screened]


def test_copies_within_a_lease_are_refused_after_the_first_that_passes() -> None:
    copy = candidate(1, candidate_id=name("copy"), image=encoded(drawing(1), "JPEG", quality=80))
    wrong = candidate(1, candidate_id=name("wrong"), answer="9")
    again = candidate(1, candidate_id=name("again"))
    assert screened_reasons([wrong, candidate(1), copy, again, candidate(2)]) == [
        Reason.WRONG_ANSWER,
        None,
        Reason.NEAR_DUPLICATE,
        Reason.EXACT_DUPLICATE,
        None,
    ]


def test_one_id_for_two_candidates_is_refused() -> None:
    assert screened_reasons([candidate(1), replace(candidate(2), candidate_id=candidate(1).candidate_id)]) == [None, Reason.SCHEMA]
