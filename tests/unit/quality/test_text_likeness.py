"""Distinctive questions are found in other words; template questions, and the same template with other words, are not."""

from random import Random

import pytest

from services.quality.fingerprints import question_words
from services.quality.text_likeness import MIN_WORDS, TextIndex
from tests.planted.questions import ask, paraphrase

LONG = "According to the handwritten ledger, how many barrels of herring did the harbour at Estover receive in the autumn of 1887?"
NEARLY = LONG.replace("receive", "take in")


def index_of(*questions: str, answer: str = "412") -> TextIndex:
    return TextIndex((question_words(question), answer) for question in questions)


def like(index: TextIndex, question: str, answer: str = "9") -> int | None:
    return index.like(question_words(question), answer)


def test_the_same_and_nearly_the_same_words_are_found_whatever_the_answer() -> None:
    index = index_of("How many dots?", LONG)
    assert like(index, LONG) == 1
    assert like(index, f"Please, {LONG.lower()}") == 1
    assert like(index, NEARLY) == 1
    assert like(index, "Which colour has the roof of the boathouse behind the chapel in the photograph taken after the flood?") is None


def test_more_words_may_differ_where_the_answer_is_the_same() -> None:
    otherwise = LONG.replace("According to", "By").replace("receive in", "get during")
    assert like(index_of(LONG), otherwise) is None
    assert like(index_of(LONG), otherwise, "412") == 0


def test_another_number_makes_another_question() -> None:
    assert like(index_of(LONG), LONG.replace("1887", "1888"), "412") is None


def test_short_questions_and_questions_of_many_items_never_decide() -> None:
    assert like(index_of("How many red dots are there?"), "How many red dots are there?", "412") is None
    assert len(set(question_words(LONG))) >= MIN_WORDS
    assert like(index_of(*[LONG] * 3), LONG) == 0
    assert like(index_of(*[LONG] * 4), LONG) is None
    assert len(index_of(*[LONG] * 4)) == 0


def test_what_tells_questions_of_one_template_apart_must_agree() -> None:
    template = "In the floor plan of the {} museum, which room lies between the {} gallery and the {} staircase on the upper floor?"
    items = [("naval", "glass", "iron"), ("railway", "coin", "spiral"), ("textile", "map", "marble"), ("toy", "clock", "servants")]
    index = index_of(*(template.format(*words) for words in items))
    assert like(index, template.format(*items[2])) == 2
    assert like(index, template.format("naval", "glass", "marble"), "412") is None
    assert like(index, template.format("wine", "glass", "iron"), "412") is None
    assert like(index, template.format(*items[1]).replace("lies", "is found")) == 1


def test_the_first_item_is_named_and_an_empty_index_names_none() -> None:
    assert like(index_of(LONG, NEARLY), NEARLY) in (0, 1)
    assert like(index_of(NEARLY, LONG, LONG), LONG) == 0
    assert like(index_of(), LONG) is None
    assert like(index_of(LONG), "") is None


@pytest.mark.parametrize(("share", "least"), [(0.0, 0.75), (0.1, 0.7)])
def test_paraphrases_with_the_same_answer_are_found(share: float, least: float) -> None:
    asked = [made for number in range(300) if len((made := ask(number)).question.split()) >= 14][:100]
    index = TextIndex((question_words(made.question), made.answer) for made in asked)
    found = [like(index, paraphrase(made.question, share, Random(at)), made.answer) == at for at, made in enumerate(asked)]
    assert sum(found) >= least * len(found)


def test_other_questions_of_the_same_templates_are_not_taken_for_them() -> None:
    index = TextIndex((question_words(ask(number).question), ask(number).answer) for number in range(400))
    taken = [
        number for number in range(1000) if like(index, ask(number, seed="others").question, ask(number, seed="others").answer) is not None
    ]
    assert len(taken) <= 10, [ask(number, seed="others").question for number in taken]
