"""Labels that no scene proves: what models' answers amount to, and which luck is told from knowledge."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.judgement import (
    Categorised,
    Solution,
    check_agreement,
    check_category,
    check_necessity,
    read_solution,
    text_only_orders,
)
from shared.answers import Outcome
from shared.domain import Candidate, Cell, ImageCategory, QuestionType
from shared.domain import RejectionReason as Reason
from shared.prompt import LETTERS
from tests.unit.quality.suspects import CHOICE, NUMERIC, candidate, found, name

TEXT = Cell(ImageCategory.GEOMETRIC, QuestionType.TEXT)


def choice(*choices: str, answer: str = "A") -> Candidate:
    return found(1, cell=CHOICE, question="Which shape is red?", choices=choices or ("ring", "star", "cross", "moon"), answer=answer)


def solved(made: Candidate, *answers: str | None) -> list[Solution]:
    return [read_solution(made, answered, f"m{number}") for number, answered in enumerate(answers)]


def agreement(made: Candidate, *answers: str | None, num_required: int = 2) -> Reason | None:
    refusal = check_agreement(made, solved(made, *answers), num_required)
    return refusal.reason if refusal else None


COUNT = found(1, answer="2")
LENGTH = found(1, question="How long is it?", answer="3 m", tolerance=0.1)
WORD = found(1, cell=TEXT, question="What colour is it?", answer="red")


@pytest.mark.parametrize(
    ("made", "answers", "reason"),
    [
        (COUNT, ("2", "two"), None),
        (COUNT, ("2", "3"), Reason.DISPUTED),
        (COUNT, ("3", "3.0"), Reason.QUARANTINED),
        (COUNT, ("3", "three"), Reason.QUARANTINED),
        (COUNT, ("3", "4"), Reason.DISPUTED),
        (COUNT, ("2", None), Reason.DISPUTED),
        (COUNT, (None, None), Reason.DISPUTED),
        (COUNT, ("3", "it is hard to say"), Reason.DISPUTED),
        (COUNT, ("2", "2", "3"), Reason.DISPUTED),
        (COUNT, ("2",), Reason.UNVERIFIABLE),
        (COUNT, (), Reason.UNVERIFIABLE),
        (LENGTH, ("3.05 m", "300 cm"), None),
        (LENGTH, ("5 m", "500 cm"), Reason.QUARANTINED),
        (LENGTH, ("5 m", "5 cm"), Reason.DISPUTED),
        (WORD, ("Red", "it is red"), None),
        (WORD, ("blue", "Blue."), Reason.QUARANTINED),
        (WORD, ("blue", "green"), Reason.DISPUTED),
        (choice(), ("A", "ring"), None),
        (choice(), ("B", "star"), Reason.QUARANTINED),
        (choice(), ("B", "C"), Reason.DISPUTED),
        (choice(), ("B", "A or B"), Reason.DISPUTED),
    ],
)
def test_solvers_agree_contradict_or_dispute(made: Candidate, answers: tuple[str | None, ...], reason: Reason | None) -> None:
    assert agreement(made, *answers) is reason


def test_a_refusal_tells_who_said_what() -> None:
    refusal = check_agreement(COUNT, solved(COUNT, "3", None), 2)
    assert refusal is not None
    assert refusal.detail == "the label is '2'; m0 says '3', m1 says that it can't tell"


@given(st.integers(2, len(LETTERS)), st.integers(), st.data())
def test_each_order_is_a_permutation_and_moves_every_choice(num: int, seed: int, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(LETTERS[:num]))
    made = replace(choice(*(f"shape {number}" for number in range(num)), answer=label), candidate_id=name(str(seed)))
    first, second = text_only_orders(made)
    assert sorted(first) == sorted(second) == list(range(num))
    assert all(a != b for a, b in zip(first, second, strict=True))
    for order in (first, second):
        shown = LETTERS[list(order).index(LETTERS.index(label))]
        assert read_solution(made, shown, "m", order) == Solution("m", shown, Outcome.CORRECT, label)
        others = {read_solution(made, letter, "m", order).extracted for letter in LETTERS[:num] if letter != shown}
        assert others == set(LETTERS[:num]) - {label}
        assert read_solution(made, f"shape {LETTERS.index(label)}", "m", order).outcome is Outcome.CORRECT


def test_a_guess_by_letter_is_never_right_twice() -> None:
    for number in range(50):
        made = replace(choice(), candidate_id=name(str(number)))
        for letter in "ABCD":
            attempts = [read_solution(made, letter, "m", order) for order in text_only_orders(made)]
            assert check_necessity(attempts) is None


@pytest.mark.parametrize(
    ("answers", "reason"),
    [(("2",), Reason.NEEDS_NO_IMAGE), (("3",), None), ((None,), None), (("who knows",), None), ((), None)],
)
def test_a_question_that_is_answered_without_its_image_needs_none(answers: tuple[str | None, ...], reason: Reason | None) -> None:
    refusal = check_necessity(solved(COUNT, *answers))
    assert (refusal.reason if refusal else None) is reason


def test_a_choice_that_is_found_in_both_orders_needs_no_image() -> None:
    made = choice(answer="C")
    attempts = [read_solution(made, "cross", "m", order) for order in text_only_orders(made)]
    refusal = check_necessity(attempts)
    assert refusal is not None and refusal.reason is Reason.NEEDS_NO_IMAGE and "'C'" in refusal.detail
    assert check_necessity([attempts[0], read_solution(made, "moon", "m", text_only_orders(made)[1])]) is None


def test_questions_without_choices_are_tried_once() -> None:
    assert text_only_orders(COUNT) == text_only_orders(WORD) == ((),)


@pytest.mark.parametrize(
    ("judged", "is_fine"), [(ImageCategory.GEOMETRIC, True), (ImageCategory.MIXED, False), (ImageCategory.DIAGRAM, False)]
)
def test_the_judged_category_is_the_one_asked_for(judged: ImageCategory, is_fine: bool) -> None:
    refusal = check_category(Categorised(judged, "lines"), NUMERIC)
    assert (refusal is None) is is_fine
    assert refusal is None or (refusal.reason is Reason.WRONG_CELL and "lines" in refusal.detail)


answers = st.none() | st.text(max_size=40) | st.integers(-9, 99).map(str) | st.sampled_from(["A", "B", "yes", "no", "red", "3 m", "50%"])


@given(answers=st.lists(answers, max_size=4), kind=st.sampled_from(range(4)))
def test_whatever_models_say_only_the_label_from_enough_of_them_passes(answers: list[str | None], kind: int) -> None:
    made: Any = (COUNT, LENGTH, WORD, choice())[kind]
    solutions = solved(made, *answers)
    refusal = check_agreement(made, solutions, 2)
    is_sure = len(solutions) >= 2 and all(each.outcome is Outcome.CORRECT for each in solutions)
    assert (refusal is None) is is_sure
    if refusal is not None and refusal.reason is Reason.QUARANTINED:
        assert all(each.outcome is Outcome.INCORRECT for each in solutions)


def test_a_drawn_candidate_is_graded_like_any_other() -> None:
    assert agreement(candidate(1), "2", "2") is None
