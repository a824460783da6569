"""The schema that a model is held to, and what its reply turns out to be."""

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from shared.llm.structure import Invalid, Valid, judged, parsed, strict_schema, told, unfenced
from shared.llm.wire_replies import Choice, Message


class Shade(enum.StrEnum):
    DARK = "dark"
    LIGHT = "light"


class Crop(BaseModel):
    op: Literal["crop"]
    box: tuple[int, int, int, int]


class Blur(BaseModel):
    op: Literal["blur"]
    radius: Annotated[float, Field(gt=0, le=9, description="in pixels")] = 2.0


class Plan(BaseModel):
    title: Annotated[str, Field(min_length=1, max_length=20, pattern="^[a-z]+$")]
    shade: Shade = Shade.DARK
    note: str | None = None
    edits: Annotated[list[Annotated[Crop | Blur, Field(discriminator="op")]], Field(max_length=3)] = []
    main: Crop = Field(description="the one that counts")

    @field_validator("title")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        if value == "forbidden":
            raise ValueError("choose another title")
        return value


class Tree(BaseModel):
    children: list["Tree"] = []


REFUSED_KEYWORDS = {"default", "title", "minLength", "maxLength", "pattern", "format", "oneOf", "allOf", "prefixItems", "discriminator"}


def objects(schema: Any) -> list[dict[str, Any]]:
    """All schemas inside a schema; names of properties are none."""
    if isinstance(schema, list):
        return [found for each in schema for found in objects(each)]
    if not isinstance(schema, dict):
        return []
    inner = [value for key, value in schema.items() if key not in ("properties", "$defs", "enum", "required")]
    named = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    return [schema, *(found for each in (*inner, *named) for found in objects(each))]


@pytest.mark.parametrize("kind", [Plan, Tree])
def test_a_strict_schema_requires_everything_allows_nothing_else_and_has_no_refused_keyword(kind: type[BaseModel]) -> None:
    for schema in objects(strict_schema(kind)):
        assert not REFUSED_KEYWORDS & set(schema)
        if "$ref" in schema:
            assert len(schema) == 1 or "$defs" in schema
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])


def test_a_strict_schema_keeps_what_guides_a_model() -> None:
    schema = strict_schema(Plan)
    assert schema["$defs"]["Shade"]["enum"] == ["dark", "light"]
    assert schema["properties"]["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert schema["properties"]["edits"] == {
        "type": "array",
        "maxItems": 3,
        "items": {"anyOf": [{"$ref": "#/$defs/Crop"}, {"$ref": "#/$defs/Blur"}]},
    }
    assert schema["$defs"]["Crop"]["properties"]["box"] == {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}
    assert schema["$defs"]["Blur"]["properties"]["radius"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 9,
        "description": "in pixels",
    }


def test_what_strict_mode_can_not_say_is_told_to_the_author() -> None:
    class Free(BaseModel):
        anything: dict[str, int]

    with pytest.raises(TypeError, match=r"Free\.anything holds a free-form mapping"):
        strict_schema(Free)


def choice(text: str | None, *, refusal: str | None = None, finish_reason: str | None = "stop") -> Choice:
    return Choice(message=Message(content=text, refusal=refusal), finish_reason=finish_reason)


GOOD = '{"op": "crop", "box": [1, 2, 3, 4]}'


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (choice(None, refusal="I will not"), "refusal"),
        (choice(GOOD, finish_reason="content_filter"), "refusal"),
        (choice(GOOD, finish_reason="length"), "truncated"),
        (choice(None), "empty"),
        (choice(" \n"), "empty"),
        (choice('{"op": "crop", "box": [1, 2'), "schema"),
        (choice('{"op": "crop"}'), "schema"),
        (choice("I think it is 4."), "schema"),
        (choice("null"), "schema"),
    ],
)
def test_every_unusable_reply_has_its_reason(said: Choice, reason: str) -> None:
    outcome = judged(said, Crop)
    assert isinstance(outcome, Invalid)
    assert outcome.reason == reason
    assert outcome.detail


@pytest.mark.parametrize("text", [GOOD, f"```json\n{GOOD}\n```", f"\n```\n{GOOD}\n```\n"])
def test_a_usable_reply_is_a_value(text: str) -> None:
    outcome = judged(choice(text, finish_reason=None), Crop)
    assert isinstance(outcome, Valid)
    assert outcome.value == Crop(op="crop", box=(1, 2, 3, 4))
    assert outcome.text == text


def test_checks_of_the_class_itself_count_too() -> None:
    outcome = parsed('{"title": "forbidden", "main": ' + GOOD + "}", Plan)
    assert isinstance(outcome, Invalid)
    assert outcome.detail == "title: Value error, choose another title"


def test_what_is_told_is_bounded() -> None:
    class Many(BaseModel):
        numbers: list[int]

    outcome = parsed('{"numbers": [' + ", ".join(['"x"'] * 50) + "]}", Many)
    assert isinstance(outcome, Invalid)
    assert outcome.detail.count("numbers.") == 8
    assert outcome.detail.endswith("and 42 more")
    assert unfenced("```") == "```"
    assert callable(told)
