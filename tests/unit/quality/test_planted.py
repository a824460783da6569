"""The corpus of planted faults, in small: copies and leaks are found, distinct items pass, and wrong candidates have their reasons.

`python -m tests.bench.bench_planted` measures the same on thousands, with intervals.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.firewall import Firewall
from services.quality.judgement import check_necessity, read_solution
from shared.domain import Candidate, QuestionType, RejectionReason
from tests.planted.copies import COPIES, CROPPED, EDITED, MIRRORED, SCALED, STORED, Copy
from tests.planted.corpus import Item, distinct_items, items
from tests.planted.measuring import Tally, false_duplicates, false_leaks, firewall_of, has_detail, index_of, marked, recall, text_recall
from tests.planted.wrong_candidates import TEXT_ONLY, miscategorised, mislabelled, misplaced
from tests.unit.quality.suspects import reason_of

KNOWN = 150
GRADES = ("JPEG 50", "x0.75", "cropped 5 %, JPEG 75", "cropped 10 %", "mirrored, cropped 5 %, JPEG 75", "edited 3 %, JPEG 75", "edited 5 %")


@cache
def known() -> Sequence[Item]:
    return tuple(distinct_items(KNOWN, "planted"))


@cache
def firewall() -> Firewall:
    return firewall_of(known())


@cache
def index() -> FingerprintIndex:
    return index_of(known())


@cache
def copied() -> Sequence[Item]:
    return tuple(made for made in known()[::5] if has_detail(marked(made)[0]))


def found(tallies: dict[tuple[str, str, bool], Tally]) -> Tally:
    return sum(tallies.values(), Tally())


@pytest.mark.parametrize("name", GRADES)
def test_leaks_of_each_kind_are_found_with_their_question_and_reworded(name: str) -> None:
    tally = found(recall(firewall().leak, copied(), {name: COPIES[name]}, ("as it was", "reworded")))
    assert tally.share >= 0.95, tally


@pytest.mark.parametrize("name", GRADES)
def test_pictures_that_leak_are_found_whatever_is_asked(name: str) -> None:
    tally = found(recall(firewall().leak, copied(), {name: COPIES[name]}, ("unrelated",)))
    assert tally.share >= 0.92, tally


@pytest.mark.parametrize("name", GRADES)
def test_near_copies_of_each_kind_are_found(name: str) -> None:
    tally = found(recall(index().near, copied(), {name: COPIES[name]}, ("as it was",)))
    assert tally.share >= 0.92, tally


def test_distinct_items_are_no_leaks() -> None:
    scenes = {made.scene for made in known() if made.scene}
    tallies, taken = false_leaks(firewall(), distinct_items(250, "others", scenes))
    assert sum(tallies.values(), Tally()).found <= 2, [(made.family, leak) for made, leak in taken]


def test_distinct_items_are_no_near_copies() -> None:
    tallies, taken = false_duplicates(distinct_items(250, "others"))
    assert sum(tallies.values(), Tally()).found <= 2, [(made.family, made.question, other.question) for made, other in taken]


def test_distinctive_questions_leak_on_other_pictures() -> None:
    asked = [made for made in known() if len(set(marked(made)[0].words)) >= 8][:25]
    tallies = text_recall(firewall(), asked, list(items(10, "other pictures")))
    assert tallies["in the same words", "other answer"].share == 1
    assert tallies["1 word", "same answer"].share >= 0.8
    assert tallies["40 %", "other answer"].share <= 0.1


@cache
def drawn() -> Sequence[Candidate]:
    return tuple(candidate for cell in CELLS for candidate in make_candidates(cell, 2, 11, 0.5, 64))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (mislabelled, RejectionReason.WRONG_ANSWER),
        (miscategorised, RejectionReason.WRONG_CELL),
        (misplaced, RejectionReason.WRONG_CELL),
    ],
)
def test_wrong_candidates_are_refused_for_what_is_wrong(spoil: Callable[[Candidate, Random], Candidate], reason: RejectionReason) -> None:
    for at, candidate in enumerate(drawn()):
        assert reason_of(candidate) is None
        assert reason_of(spoil(candidate, Random(at)), cell=candidate.cell) is reason, candidate


def test_grades_and_texts_are_what_they_are_called() -> None:
    every: tuple[dict[str, Copy], ...] = (STORED, SCALED, CROPPED, MIRRORED, EDITED)
    assert len(COPIES) == sum(map(len, every))


@pytest.mark.parametrize(("question", "answer"), TEXT_ONLY)
def test_questions_that_are_answered_without_the_image_are_refused(question: str, answer: str) -> None:
    asked = next(made for made in drawn() if made.cell.question_type is QuestionType.TEXT)
    asked = replace(asked, question=question, answer=answer)
    refusal = check_necessity([read_solution(asked, f"The answer is {answer}.", "blind")])
    assert refusal is not None and refusal.reason is RejectionReason.NEEDS_NO_IMAGE
    assert check_necessity([read_solution(asked, None, "blind")]) is None
