"""protobuf <-> domain: nothing is dropped on the way, and nothing that breaks the contract comes in."""

import dataclasses
import math
import typing
from enum import StrEnum
from typing import Any, get_args, get_origin

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import wire
from shared.domain import Cell, ImageCategory, QuestionType, Verdict
from shared.errors import Rejected
from shared.events import CandidatesReviewed, GenerationRequested, ModelUpdated
from shared.twins import TWINS, enum_from_wire, enum_to_wire, own_fields
from tests.examples import model_updated


def values_of(hint: Any, name: str) -> st.SearchStrategy[Any]:
    """Values of a field that the contract allows."""
    if get_origin(hint) is tuple:
        return st.lists(values_of(get_args(hint)[0], name), max_size=3).map(tuple)
    if arms := [arm for arm in get_args(hint) if arm is not type(None)]:
        return st.none() | values_of(arms[0], name)
    if dataclasses.is_dataclass(hint):
        return instances_of(hint)
    if issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    return {
        str: st.text(min_size=1, max_size=8),
        bytes: st.binary(max_size=8),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        int: st.integers(0, 2**31),
    }[hint]


def instances_of(domain_type: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(domain_type)
    return st.builds(domain_type, **{field.name: values_of(hints[field.name], field.name) for field in own_fields(domain_type)})


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
def test_twins_have_the_same_fields(twin: type[Any]) -> None:
    names = {field.name for field in own_fields(twin)}
    assert names == set(wire.message_type(twin).DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
@given(draw=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_value_comes_back_as_it_went(twin: type[Any], draw: st.DataObject) -> None:
    value = draw.draw(instances_of(twin))
    payload = wire.encode(value)
    assert wire.decode(twin, payload) == value
    assert wire.encode(wire.decode(twin, payload)) == payload


@pytest.mark.parametrize("enum", {hint for twin in TWINS for hint in typing.get_type_hints(twin).values() if isinstance(hint, type)})
def test_every_enumerator_has_its_number(enum: type[Any]) -> None:
    if issubclass(enum, StrEnum):
        numbers = [enum_to_wire(member) for member in enum]
        assert 0 not in numbers, "0 is unspecified"
        assert [enum_from_wire(enum, number, "here") for number in numbers] == list(enum)


def _message(change: str) -> tuple[type[Any], Message]:
    message = wire.to_wire(model_updated("r1"))
    assert isinstance(message, wire.message_type(ModelUpdated))
    if change == "no model":
        message.ClearField("model")
    elif change == "no run":
        message.ClearField("run_id")
    elif change == "no digest":
        message.model.checkpoint.ClearField("sha256")  # type: ignore[attr-defined]
    return ModelUpdated, message


@pytest.mark.parametrize(
    ("change", "where"), [("no model", "ModelUpdated.model"), ("no run", "ModelUpdated.run_id"), ("no digest", "ArtifactRef.sha256")]
)
def test_what_is_missing_is_named(change: str, where: str) -> None:
    domain_type, message = _message(change)
    with pytest.raises(Rejected, match=where):
        wire.decode(domain_type, message.SerializeToString())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["pass_rate"])
def test_a_number_that_is_none_is_refused(number: float, field: str) -> None:
    message = wire.to_wire(Verdict("c1", accepted=True, reason=None, detail=""))
    setattr(message, field, number)
    with pytest.raises(Rejected, match=r"Verdict\.pass_rate is .*finite"):
        wire.from_wire(Verdict, message)


def test_an_enumerator_of_a_newer_contract_is_refused_with_advice() -> None:
    message = wire.to_wire(Cell(ImageCategory.MAP, QuestionType.TEXT))
    message.category = 99  # type: ignore[attr-defined]
    with pytest.raises(Rejected, match=r"Cell\.category: unknown ImageCategory 99; is the sender newer"):
        wire.from_wire(Cell, message)


def test_an_unspecified_enumerator_is_refused_where_one_is_needed() -> None:
    message = wire.to_wire(Cell(ImageCategory.MAP, QuestionType.TEXT))
    message.ClearField("question_type")
    with pytest.raises(Rejected, match=r"Cell\.question_type is unspecified"):
        wire.from_wire(Cell, message)


@given(payload=st.binary(max_size=64))
def test_garbage_is_refused_or_read_but_never_anything_else(payload: bytes) -> None:
    for event_type in (ModelUpdated, GenerationRequested, CandidatesReviewed):
        try:
            wire.decode(event_type, payload)
        except Rejected:
            continue
