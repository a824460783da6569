"""A lease whose candidates have to be judged: in order, as few as needed, within shares, and doubted labels kept aside."""

import io
from collections.abc import Callable, Sequence
from functools import cache

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.quality.checks import Known
from services.quality.difficulty import Rollouts, Window
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint
from services.quality.firewall import Firewall
from services.quality.judgement import Solution
from services.quality.quarantine import QUARANTINE, write_quarantine
from services.quality.refusal import Refusal
from services.quality.review import Doubted, Judged, LeaseReview, Standards
from services.quality.screening import Screened
from services.quality.sources import Representation, Shares, SourceMark
from shared.answers import Outcome
from shared.domain import Recipe, Spend, Verdict
from shared.domain import RejectionReason as Reason
from shared.tables import read_candidates
from tests.unit.quality.suspects import candidate, found, lease, mark, name

STANDARDS = Standards(Window(0.3, 0.8, 0.8), 8, Shares(200, 80))
SOLVED = tuple(Solution(model, "1", Outcome.CORRECT, "1") for model in ("seer", "reader"))
SPENT = (Spend("verify", 2, 100, 10, 0.01),)
DISPUTED = Judged(Refusal(Reason.DISPUTED, "they differ"), SOLVED, SPENT)
AGREED = Judged(None, SOLVED, SPENT)


def far(number: int) -> int:
    return int(name(f"hash {number}")[:16], 16)


@cache
def marked(number: int) -> Fingerprint:
    return mark(candidate(number))


def screened(number: int, *, domain: str = "", is_drawn: bool = False) -> Screened:
    if is_drawn:
        return Screened(candidate(number), None, marked(number))
    made = found(number)
    return Screened(made, None, marked(number), SourceMark(domain, name(f"image {number}"), far(number)))


def driven(
    review: LeaseReview, judge: Callable[[int], Judged], rollouts: Callable[[int], Rollouts] = lambda _: Rollouts(8, 4)
) -> tuple[list[list[int]], list[list[int]]]:
    """Drives a review to its end; says which places were judged and which were asked about, turn by turn."""
    places = {each.candidate.candidate_id: at for at, each in enumerate(review.screened)}
    judged, asked = list[list[int]](), list[list[int]]()
    while True:
        if batch := review.to_judge():
            judged.append([places[each.candidate.candidate_id] for each in batch])
            review.judged({each.candidate.candidate_id: judge(places[each.candidate.candidate_id]) for each in batch})
        elif questions := review.to_ask():
            asked.append([places[each.candidate_id] for each in questions])
            review.answer({each.candidate_id: rollouts(places[each.candidate_id]) for each in questions})
        else:
            return judged, asked


def reasons(verdicts: Sequence[Verdict]) -> list[Reason | None]:
    return [verdict.reason for verdict in verdicts]


def test_only_as_many_are_judged_as_the_lease_wants() -> None:
    review = LeaseReview([screened(at) for at in range(9)], lease(num_wanted=3), STANDARDS, Representation())
    judged, asked = driven(review, lambda at: DISPUTED if at in (0, 2, 3) else AGREED)
    assert (judged, asked) == ([[0, 1, 2], [3, 4], [5]], [])
    verdicts = review.verdicts()
    assert [at for at, verdict in enumerate(verdicts) if verdict.accepted] == [1, 4, 5]
    assert reasons(verdicts[6:]) == [Reason.OVER_QUOTA] * 3
    assert verdicts[1].detail == "agreed by seer, reader"
    assert len(review.spent) == 6, "also what was refused was paid for"


def test_proven_candidates_among_them_are_never_judged() -> None:
    each = [screened(at, is_drawn=at % 2 == 0) for at in range(6)]
    review = LeaseReview(each, lease(num_wanted=4), STANDARDS, Representation())
    judged, _ = driven(review, lambda at: DISPUTED if at == 1 else AGREED)
    assert judged == [[1, 3]]
    assert [at for at, verdict in enumerate(review.verdicts()) if verdict.accepted] == [0, 2, 3, 4]


def test_the_policy_is_asked_about_what_the_judges_passed() -> None:
    asked_for = lease(num_wanted=2, recipe=Recipe.REINFORCE)
    review = LeaseReview([screened(at) for at in range(6)], asked_for, STANDARDS, Representation())
    judged, asked = driven(review, lambda at: DISPUTED if at == 0 else AGREED, lambda at: Rollouts(8, 0 if at == 1 else 4))
    assert judged == [[0, 1], [2], [3]]
    assert asked == [[1, 2], [3]]
    assert reasons(review.verdicts()) == [Reason.DISPUTED, Reason.TOO_HARD, None, None, Reason.OVER_QUOTA, Reason.OVER_QUOTA]


@pytest.mark.parametrize(
    ("rollouts", "reason"),
    [
        (Rollouts(8, 0, "7", 1.0), Reason.QUARANTINED),
        (Rollouts(8, 0, "7", 0.875), Reason.TOO_HARD),
        (Rollouts(4, 0, "7", 1.0), Reason.TOO_HARD),
        (Rollouts(8, 8, "1", 1.0), Reason.TOO_EASY),
    ],
)
def test_rollouts_that_unanimously_contradict_an_unproven_label_cast_doubt_on_it(rollouts: Rollouts, reason: Reason) -> None:
    asked_for = lease(num_wanted=1, recipe=Recipe.REINFORCE)
    review = LeaseReview([screened(0)], asked_for, STANDARDS, Representation())
    driven(review, lambda _: AGREED, lambda _: rollouts)
    assert reasons(review.verdicts()) == [reason]
    assert [each.answers for each in review.doubted] == ([((asked_for.base_model.model_id, "7"),)] if reason is Reason.QUARANTINED else [])
    drawn = LeaseReview([screened(0, is_drawn=True)], asked_for, STANDARDS, Representation())
    driven(drawn, lambda _: AGREED, lambda _: rollouts)
    assert reasons(drawn.verdicts()) == [Reason.TOO_HARD if reason is Reason.QUARANTINED else reason], "a scene proves its label"
    assert not drawn.doubted


def test_solvers_who_contradict_the_label_are_kept_with_it() -> None:
    contradicted = Judged(Refusal(Reason.QUARANTINED, "the label is '1', but"), SOLVED, SPENT)
    review = LeaseReview([screened(0), screened(1)], lease(num_wanted=1), STANDARDS, Representation())
    driven(review, lambda at: contradicted if at == 0 else AGREED)
    assert reasons(review.verdicts()) == [Reason.QUARANTINED, None]
    assert [each.answers for each in review.doubted] == [(("seer", "1"), ("reader", "1"))]


def test_a_quarantine_file_holds_the_candidate_and_who_said_what() -> None:
    payload = write_quarantine([Doubted(found(1), (("seer", "7"), ("reader", "7")))])

    table = pq.read_table(io.BytesIO(payload))
    assert table.schema.equals(QUARANTINE)
    assert table.column("answers").to_pylist() == [[{"by": "seer", "answered": "7"}, {"by": "reader", "answered": "7"}]]
    assert read_candidates(payload, "quarantine") == [found(1)]


def test_a_source_with_its_share_costs_nothing_more() -> None:
    standards = Standards(STANDARDS.window, 8, Shares(per_domain=2, per_image=9))
    represented = Representation([SourceMark("a.test", name("before"), far(99))])
    each = [screened(at, domain="a.test" if at < 4 else "b.test") for at in range(6)]
    review = LeaseReview(each, lease(num_wanted=4), standards, represented)
    judged, _ = driven(review, lambda at: DISPUTED if at == 0 else AGREED)
    # One place is left for a.test: the second waits until the first is refused, and the third is over.
    assert judged == [[0], [1], [4, 5]]
    assert reasons(review.verdicts()) == [Reason.DISPUTED, None, Reason.OVER_REPRESENTED, Reason.OVER_REPRESENTED, None, None]


def test_what_others_had_accepted_meanwhile_is_withdrawn_and_its_place_filled() -> None:
    standards = Standards(STANDARDS.window, 8, Shares(per_domain=1, per_image=9))
    each = [screened(0), screened(1, domain="a.test"), screened(2), screened(3), screened(4, domain="a.test")]
    review = LeaseReview(each, lease(num_wanted=3), standards, Representation())
    driven(review, lambda _: AGREED)
    assert reasons(review.verdicts())[:3] == [None] * 3
    meanwhile = Known(Firewall(), (FingerprintIndex([("theirs", mark(candidate(0)))]),))
    represented = Representation([SourceMark("a.test", name("theirs"), far(98))])
    assert review.withdraw(meanwhile, represented) == 2
    judged, _ = driven(review, lambda _: AGREED)
    assert judged == [[3]]
    expected = [Reason.EXACT_DUPLICATE, Reason.OVER_REPRESENTED, None, None, Reason.OVER_REPRESENTED]
    assert reasons(review.verdicts()) == expected
    assert review.withdraw(meanwhile, represented) == 0


def test_what_takes_a_withdrawn_place_is_compared_in_its_turn() -> None:
    review = LeaseReview([screened(at, is_drawn=True) for at in range(4)], lease(num_wanted=1), STANDARDS, Representation())
    meanwhile = Known(Firewall(), (FingerprintIndex((str(at), marked(at)) for at in range(2)),))
    withdrawn = [review.withdraw(meanwhile, Representation()) for _ in range(3)]
    assert withdrawn == [1, 1, 0]
    assert reasons(review.verdicts()) == [Reason.EXACT_DUPLICATE, Reason.EXACT_DUPLICATE, None, Reason.OVER_QUOTA]


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 8), st.sampled_from(["", "a", "b"])), max_size=14),
    st.integers(0, 8),
    st.sampled_from(list(Recipe)),
    st.integers(1, 3),
)
@settings(deadline=None, max_examples=150)
def test_every_review_ends_within_quota_and_shares_and_judges_nobody_twice(
    each: list[tuple[bool, bool, int, str]], num_wanted: int, recipe: Recipe, per_domain: int
) -> None:
    sound = [screened(at, domain=domain, is_drawn=is_drawn) for at, (is_drawn, _, _, domain) in enumerate(each)]
    standards = Standards(STANDARDS.window, 8, Shares(per_domain, 80))
    review = LeaseReview(sound, lease(num_wanted=num_wanted, recipe=recipe), standards, Representation())
    judged, _ = driven(review, lambda at: AGREED if each[at][1] else DISPUTED, lambda at: Rollouts(8, each[at][2]))
    verdicts = review.verdicts()
    accepted = [at for at, verdict in enumerate(verdicts) if verdict.accepted]
    seen = [at for turn in judged for at in turn]
    assert len(seen) == len(set(seen))
    assert len(accepted) <= num_wanted
    assert all(sum(each[at][3] == domain and not each[at][0] for at in accepted) <= per_domain for domain in ("a", "b"))
    assert all(each[at][0] or (each[at][1] and at in seen) for at in accepted)
    open_ones = [at for at, verdict in enumerate(verdicts) if verdict.reason is Reason.OVER_QUOTA]
    assert len(accepted) == num_wanted or not open_ones
