"""The answer, derived again: every operation, and what is refused for being ambiguous or malformed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.arithmetic import NotArithmetic, evaluate
from services.quality.derivation import Underivable, derive, foreign_word, label_matches
from services.quality.scene_description import SceneUnreadable, parse_scene
from shared.domain import QuestionType
from tests.unit.quality.suspects import scene

BARS = (
    {"id": "b0", "kind": "bar", "color": "red", "value": 5, "x": 0.1, "y": 0.5, "next": "b2", "tall": True},
    {"id": "b1", "kind": "bar", "color": "blue", "value": 9, "x": 0.5, "y": 0.4, "next": "", "tall": False},
    {"id": "b2", "kind": "bar", "color": "green", "value": 2.5, "x": 0.9, "y": 0.95, "next": "b1", "tall": True},
)
RED, BLUE, GREEN = ({"color": color} for color in ("red", "blue", "green"))


def derived(query: dict[str, Any], *objects: dict[str, Any]) -> object:
    return derive(parse_scene(scene(query, *(objects or BARS))))


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ({"op": "count", "where": {}}, 3),
        ({"op": "count", "where": {"kind": "bar", "tall": True}}, 2),
        ({"op": "count", "where": {"color": "pink"}}, 0),
        ({"op": "exists", "where": {"value": 5.0}}, "yes"),
        ({"op": "exists", "where": {"value": 5, "color": "blue"}}, "no"),
        ({"op": "attribute", "where": RED, "name": "value"}, 5),
        ({"op": "attribute", "where": RED, "name": "tall"}, "yes"),
        ({"op": "argmax", "by": "value", "name": "color"}, "blue"),
        ({"op": "argmin", "by": "value", "name": "color", "where": {"kind": "bar"}}, "green"),
        ({"op": "argmax", "by": "value", "name": "color", "where": {"tall": True}}, "red"),
        ({"op": "sum", "of": "value"}, 16.5),
        ({"op": "maximum", "of": "value"}, 9),
        ({"op": "minimum", "of": "value"}, 2.5),
        ({"op": "difference", "of": "value", "where": {"tall": True}}, 2.5),
        ({"op": "compare", "left": RED, "right": BLUE, "by": "value"}, "right"),
        ({"op": "compare", "left": BLUE, "right": RED, "by": "value", "names": {"left": "more", "right": "less", "equal": "same"}}, "more"),
        ({"op": "compare", "left": RED, "right": RED, "by": "value", "names": {"equal": "same"}}, "same"),
        ({"op": "relation", "of": RED, "to": BLUE}, "left"),
        ({"op": "relation", "of": BLUE, "to": RED}, "right"),
        ({"op": "relation", "of": GREEN, "to": BLUE}, "below"),
        ({"op": "relation", "of": BLUE, "to": GREEN}, "above"),
        ({"op": "evaluate", "expression": "3 + 4*2 - (1-5)"}, 15),
        ({"op": "follow", "start": "b0", "steps": 2, "name": "color"}, "blue"),
        ({"op": "follow", "start": "b0", "steps": 0, "edge": "next", "name": "color"}, "red"),
        ({"op": "nth", "order_by": "value", "index": 1, "name": "color"}, "red"),
    ],
)
def test_every_operation_has_its_value(query: dict[str, Any], value: object) -> None:
    assert derived(query) == value


@pytest.mark.parametrize(
    "query",
    [
        {"op": "attribute", "where": {"kind": "bar"}, "name": "value"},
        {"op": "attribute", "where": {"color": "pink"}, "name": "value"},
        {"op": "attribute", "where": RED, "name": "weight"},
        {"op": "count", "where": {"colour": "red"}},
        {"op": "argmax", "by": "color", "name": "id"},
        {"op": "argmax", "by": "tall", "name": "id"},
        {"op": "argmax", "by": "value", "name": "id", "where": {"color": "pink"}},
        {"op": "difference", "of": "value"},
        {"op": "sum", "of": "value", "where": {"color": "pink"}},
        {"op": "compare", "left": {"kind": "bar"}, "right": RED, "by": "value"},
        {"op": "relation", "of": RED, "to": RED},
        {"op": "evaluate", "expression": "__import__('os')"},
        {"op": "follow", "start": "b0", "steps": 3, "name": "color"},
        {"op": "follow", "start": "nobody", "steps": 0, "name": "color"},
        {"op": "nth", "order_by": "value", "index": 3, "name": "color"},
    ],
)
def test_what_the_scene_does_not_settle_is_not_guessed(query: dict[str, Any]) -> None:
    with pytest.raises(Underivable):
        derived(query)


def test_ties_are_ambiguous() -> None:
    twins = ({"id": "a", "value": 4, "x": 0, "y": 0}, {"id": "b", "value": 4, "x": 1, "y": 1})
    for query in (
        {"op": "argmax", "by": "value", "name": "id"},
        {"op": "nth", "order_by": "value", "index": 0, "name": "id"},
        {"op": "relation", "of": {"id": "a"}, "to": {"id": "b"}},
    ):
        with pytest.raises(Underivable):
            derived(query, *twins)


def test_a_sum_that_the_picture_does_not_show_is_not_verified() -> None:
    query = {"op": "evaluate", "expression": "5+6"}
    assert derived(query, {"id": "f", "text": "5 + 6"}) == 11
    with pytest.raises(Underivable, match=re_escaped("3+4")):
        derived(query, {"id": "f", "text": "3+4"})


def re_escaped(text: str) -> str:
    return text.replace("+", r"\+")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"schema": "spiral.scene/2", "category": "map", "objects": [], "query": {"op": "count", "where": {}}}',
        scene({"op": "guess"}),
        scene({"op": "count"}),
        scene({"op": "count", "where": {"color": ["red"]}}),
        scene({"op": "count", "where": {}, "unless": {"color": "red"}}),
        scene({"op": "follow", "start": "a", "steps": 10**9, "name": "id"}),
        scene({"op": "nth", "order_by": "x", "index": -1, "name": "id"}),
        scene({"op": "count", "where": {}}, category="dreams"),
        scene({"op": "count", "where": {}}, {"id": "a", "nested": {"x": 1}}),
        scene({"op": "count", "where": {}}, {"id": "a", "x": float("nan")}),
        scene({"op": "count", "where": {}}, {"id": "a" * 300_000}),
    ],
)
def test_malformed_scenes_are_unreadable(text: str) -> None:
    with pytest.raises(SceneUnreadable):
        parse_scene(text)


def says(value: str | int | float, answer: str, question_type: QuestionType, choices: tuple[str, ...] = ()) -> bool:
    return label_matches(value, question_type=question_type, choices=choices, answer=answer)


def test_a_label_is_the_letter_the_number_or_the_text() -> None:
    choice, numeric, text = QuestionType.MULTIPLE_CHOICE, QuestionType.NUMERIC, QuestionType.TEXT
    assert says("red", "B", choice, ("blue", "Red"))
    assert says(4, "A", choice, ("4", "5"))
    assert not says("red", "A", choice, ("blue", "red"))
    assert not says("red", "A", choice, ("blue", "green"))
    assert says(5, "5", numeric) and says(5.0, "5", numeric) and says(12, "12 cm", numeric) and says(3.14159, "3.14", numeric)
    assert not says(5, "6", numeric) and not says(5.4, "5", numeric) and not says("five", "5", numeric)
    assert says("top left", "Top  left", text)
    assert not says("left", "right", text)


def test_a_question_about_another_object_than_the_query_selects_is_noticed() -> None:
    counted = parse_scene(scene({"op": "count", "where": RED}, *BARS))
    assert foreign_word(counted, "How many blue bars are there?") is not None
    assert foreign_word(counted, "How many red bars are there?") is None
    assert foreign_word(counted, "How many crimson bars are there?") is None
    assert foreign_word(counted, "Are there more red than blue bars?") is None
    followed = parse_scene(scene({"op": "follow", "start": "b0", "steps": 1, "name": "color"}, *BARS))
    assert foreign_word(followed, "Which color comes after green?") is not None
    assert foreign_word(followed, "Which color comes after red?") is None


EXPRESSIONS = st.recursive(
    st.integers(0, 999).map(str),
    lambda inner: st.builds("({}{}{})".format, inner, st.sampled_from("+-*"), inner) | inner.map("-{}".format),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_arithmetic_agrees_with_the_interpreter(expression: str) -> None:
    if len(expression) <= 200:
        assert evaluate(expression) == eval(expression)


@given(st.text(alphabet="0123456789+-*() x", max_size=60))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        value = evaluate(text)
    except NotArithmetic:
        return
    assert isinstance(value, int)


def test_arithmetic_has_bounds() -> None:
    for text in ("1" * 13, "(" * 30 + "1" + ")" * 30, "1+" * 150 + "1", "", "1 1", "2**3", "1/2"):
        with pytest.raises(NotArithmetic):
            evaluate(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_is_a_scene_or_unreadable(document: object) -> None:
    with pytest.raises(SceneUnreadable):
        parse_scene(json.dumps(document))
