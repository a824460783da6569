"""Structured output: the schema that a model is held to, and what its reply turns out to be.

The schema is the part of JSON Schema that servers in strict mode take; pydantic checks the rest, and has the last word.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from shared.llm.port import InvalidReason
from shared.llm.wire_replies import Choice

M = TypeVar("M", bound=BaseModel)

_KEPT = frozenset(
    {"type", "description", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)
_CUT = ("length", "max_tokens")
_NUM_PROBLEMS_TOLD = 8
_MAX_TOLD_CHARS = 4000
_ANY_OF = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True, slots=True)
class Valid(Generic[M]):
    """A reply of the type asked for."""

    value: M
    text: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """A reply that is not, with what to tell whoever asked, and its author."""

    reason: InvalidReason
    detail: str
    text: str


def strict_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """A model class as a schema for strict mode: every property required, nothing else allowed, no keyword that servers refuse.

    Raises:
        TypeError: the class has a free-form mapping, or is itself a union: strict mode can't say these.
    """
    whole = kind.model_json_schema()
    definitions = whole.get("$defs", {})
    # A class that refers to itself is a reference at its root.
    root = definitions[_name(whole["$ref"])] if "$ref" in whole else whole
    if root.get("type") != "object":
        raise TypeError(f"{kind.__name__} is no object: wrap it in a model with one field")
    schema = _strict(root, kind.__name__)
    if definitions:
        schema["$defs"] = {name: _strict(definition, name) for name, definition in definitions.items()}
    return schema


def schema_text(kind: type[BaseModel]) -> str:
    """A model class's schema for a prompt, where the server takes none."""
    return json.dumps(kind.model_json_schema(), sort_keys=True, ensure_ascii=False)


def judged(choice: Choice, kind: type[M]) -> Valid[M] | Invalid:
    """What became of a reply: a value of the type asked for, or why it is none."""
    message = choice.message
    text = message.content or ""
    if message.refusal or choice.finish_reason == "content_filter":
        return Invalid("refusal", (message.refusal or "a content filter ended the reply")[:_MAX_TOLD_CHARS], text)
    if choice.finish_reason in _CUT:
        return Invalid("truncated", "the reply was cut at the limit of its length", text)
    return parsed(text, kind)


def parsed(text: str, kind: type[M]) -> Valid[M] | Invalid:
    """A text as a value of the type asked for, or why it is none."""
    if not text.strip():
        return Invalid("empty", "the reply was empty", text)
    try:
        return Valid(kind.model_validate_json(unfenced(text)), text)
    except ValidationError as error:
        return Invalid("schema", told(error), text)


def unfenced(text: str) -> str:
    """A text without the Markdown fence that models without a response format put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and "\n" in stripped:
        return stripped.removesuffix("```").partition("\n")[2].strip()
    return stripped


def told(error: ValidationError) -> str:
    """What is wrong with a reply, in words for its author."""
    problems = error.errors(include_url=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in problem['loc']) or 'the reply'}: {problem['msg']}" for problem in problems]
    more = len(lines) - _NUM_PROBLEMS_TOLD
    return "; ".join([*lines[:_NUM_PROBLEMS_TOLD], *([f"and {more} more"] if more > 0 else [])])[:_MAX_TOLD_CHARS]


def _strict(schema: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "$ref" in schema:
        # Strict mode allows nothing beside a reference.
        return {"$ref": schema["$ref"]}
    kept = {key: value for key, value in schema.items() if key in _KEPT}
    for key in _ANY_OF:
        if key in schema:
            alternatives = [_strict(each, where) for each in schema[key]]
            return alternatives[0] if len(alternatives) == 1 else {**kept, "anyOf": alternatives}
    if "prefixItems" in schema:
        kept["items"] = _one_of(schema["prefixItems"], where)
    elif "items" in schema:
        kept["items"] = _strict(schema["items"], where)
    if schema.get("type") == "object":
        if "properties" not in schema:
            raise TypeError(f"{where} holds a free-form mapping: name its fields, or use a list of pairs")
        properties = schema["properties"]
        kept["properties"] = {name: _strict(value, f"{where}.{name}") for name, value in properties.items()}
        kept["required"] = list(properties)
        kept["additionalProperties"] = False
    return kept


def _one_of(schemas: Sequence[Mapping[str, Any]], where: str) -> dict[str, Any]:
    """What each place of a tuple may hold, as strict mode has no places."""
    distinct = []
    for schema in schemas:
        strict = _strict(schema, where)
        if strict not in distinct:
            distinct.append(strict)
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]
