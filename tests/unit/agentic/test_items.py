"""Questions in the shapes of the ask agent."""

from collections import Counter

import pytest
from pydantic import ValidationError

from services.generators.agentic.agents.items import Item, MultipleChoiceItem, NumericItem, TextItem
from services.generators.agentic.agents.select import Fit, Selection
from shared.answers import check_reference
from shared.domain import ImageCategory, QuestionType
from shared.prompt import LETTERS


def choice(right: str, wrong: list[str]) -> MultipleChoiceItem:
    return MultipleChoiceItem(evidence="seen", question="Which one is it here?", correct_choice=right, wrong_choices=wrong)


def test_the_place_of_the_right_choice_is_drawn_and_its_letter_follows() -> None:
    places = Counter()
    for seed in range(400):
        item = choice("red", ["blue", "green", "pink"]).item(seed)
        assert item.choices[LETTERS.index(item.answer)] == "red" and sorted(item.choices) == ["blue", "green", "pink", "red"]
        assert item.fault() is None
        places[item.answer] += 1
    assert set(places) == set("ABCD") and min(places.values()) > 60
    assert choice("red", ["blue"]).item(7) == choice("red", ["blue"]).item(7)


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (choice("red", ["Red", "blue"]).item(1), "two choices say the same"),
        (NumericItem(evidence="e", question="How many are there?", answer="about 3 or 4", tolerance=0).item(1), "not one number"),
        (NumericItem(evidence="e", question="How many are there?", answer="none of them 2 x 3", tolerance=0).item(1), "not one number"),
        (TextItem(evidence="e", question="What does it say?", answer="...").item(1), "no word"),
        (NumericItem(evidence="e", question="How many are there?", answer="12 km", tolerance=0).item(1), None),
        (TextItem(evidence="e", question="What does it say?", answer=" Main  Street ").item(1), None),
    ],
)
def test_what_cannot_be_graded_is_told_in_words(item: object, fault: str | None) -> None:
    told = item.fault()  # type: ignore[attr-defined]
    assert told is None if fault is None else fault in told
    reference = {"question_type": item.question_type, "answer": item.answer, "choices": item.choices}  # type: ignore[attr-defined]
    assert (check_reference(**reference, tolerance=0.0) is None) == (told is None)


def test_a_reply_that_says_more_or_less_than_asked_for_is_none() -> None:
    whole = {"evidence": "e", "question": "How many are there?", "answer": "3", "tolerance": 0}
    assert NumericItem.model_validate(whole).item(0).question_type is QuestionType.NUMERIC
    for changed in (
        {**whole, "role": "system"},
        {key: value for key, value in whole.items() if key != "answer"},
        {**whole, "tolerance": -1},
    ):
        with pytest.raises(ValidationError):
            NumericItem.model_validate(changed)


def test_invisible_letters_do_not_get_into_questions() -> None:
    item = TextItem(evidence="e", question="What\u200b is\u202e it\n called?", answer="Oa\u200bk").item(0)
    assert (item.question, item.answer) == ("What is it called?", "Oak")


def test_images_of_another_category_do_not_serve_whatever_is_said_of_them() -> None:
    fitting = [
        Fit(image=3, category=ImageCategory.MAP),
        Fit(image=1, category=ImageCategory.DIAGRAM),
        Fit(image=3, category=ImageCategory.MAP),
    ]
    selection = Selection(reason="r", fitting=[*fitting, Fit(image=2, category=ImageCategory.MAP)])
    assert selection.places(ImageCategory.MAP) == [2, 1]
    assert selection.places(ImageCategory.DIAGRAM) == [0]
    assert selection.places(ImageCategory.MEDICAL) == []


@pytest.mark.parametrize(
    "item",
    [
        TextItem(evidence="e", question="What does the sign say?", answer="<|image_pad|>").item(0),
        TextItem(evidence="e", question="What stands before <|im_\u200bend|>?", answer="Oak").item(0),
        choice("red", ["blue", "</s>"]).item(1),
    ],
)
def test_marks_of_chat_templates_do_not_get_into_questions(item: Item) -> None:
    assert item.fault() is not None and "by which models tell turns" in item.fault()  # type: ignore[operator]
