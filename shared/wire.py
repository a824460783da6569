"""protobuf <-> domain: the one border between messages and values.

Conversion follows field names and types, so a twin that lacks a field fails the contract test instead of dropping data. Reading
checks what every room then trusts: identifiers are there, enumerators are known, numbers are finite. A field that the sender did not
set takes the twin's default, and what only the sender knows stays with the values that rooms hand on: see proto/README.md. Each type's
converter is put together once, on first use, so that an event costs little more than its fields.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from operator import attrgetter
from typing import Any, TypeVar, cast, get_args, get_origin

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from shared.domain import Carried
from shared.errors import Rejected
from shared.twins import enum_from_wire, enum_to_wire, enumerators, message_type, numbers, once_per_type, own_fields

__all__ = ["decode", "encode", "enum_to_wire", "from_wire", "message_type", "to_wire"]

T = TypeVar("T")
Read = Callable[[Any], Any]
Write = Callable[[Any, Any], None]

_MAY_BE_EMPTY = {"detail", "explanation", "answer", "question", "scene", "provenance", "majority_answer", "grpc_address"}


def to_wire(value: Any) -> Message:
    """The message that says the same as a domain value."""
    message = message_type(type(value))()
    _writer(type(value))(message, value)
    return message


def encode(value: Any) -> bytes:
    """A domain value as bytes; the same value gives the same bytes."""
    return to_wire(value).SerializeToString(deterministic=True)


def decode(domain_type: type[T], payload: bytes) -> T:
    """Bytes as a checked domain value.

    Raises:
        Rejected: not a message of that type, or one that breaks the contract.
    """
    message = message_type(domain_type)()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise Rejected(f"payload is not a {domain_type.__name__}: {error}") from error
    return from_wire(domain_type, message)


def from_wire(domain_type: type[T], message: Message) -> T:
    """A message as a checked domain value.

    Raises:
        Rejected: a required field is missing, an enumerator is unknown, or a number is not finite. The text names the field.
    """
    return cast(T, _reader(domain_type)(message))


@once_per_type
def _writer(domain_type: type[Any]) -> Write:
    plain: list[str] = []
    others: list[Write] = []
    hints, is_carried = typing.get_type_hints(domain_type), issubclass(domain_type, Carried)
    for field in own_fields(domain_type):
        if hints[field.name] in (str, int, float, bool, bytes):
            plain.append(field.name)
        else:
            others.append(_field_writer(field.name, _required(hints[field.name])))

    def write(message: Any, value: Any) -> None:
        for name in plain:
            setattr(message, name, getattr(value, name))
        for write_field in others:
            write_field(message, value)
        if is_carried and value.unknown_fields:
            message.MergeFromString(value.unknown_fields)

    return write


def _field_writer(name: str, hint: Any) -> Write:
    part = get_args(hint)[0] if get_origin(hint) is tuple else hint
    write_part = _writer(cast(type[Any], part)) if dataclasses.is_dataclass(part) else None
    number_of = numbers(hint) if _is_enum(hint) else None

    def write_field(message: Any, value: Any) -> None:
        field_value = getattr(value, name)
        if field_value is None:
            return
        if part is not hint:
            target = getattr(message, name)
            if write_part is None:
                target.extend(field_value)
            else:
                for part_value in field_value:
                    write_part(target.add(), part_value)
        elif write_part is not None:
            target = getattr(message, name)
            # A message of nothing but defaults is there all the same.
            target.SetInParent()
            write_part(target, field_value)
        else:
            setattr(message, name, field_value if number_of is None else number_of[field_value])

    return write_field


@once_per_type
def _reader(domain_type: type[Any]) -> Read:
    hints, is_carried = typing.get_type_hints(domain_type), issubclass(domain_type, Carried)
    described = message_type(domain_type).DESCRIPTOR.fields_by_name
    always: list[tuple[int, Read]] = []
    where_present: list[tuple[int, str, Read | None, Any]] = []
    for place, field in enumerate(own_fields(domain_type)):
        read_field = _field_reader(f"{domain_type.__name__}.{field.name}", field, hints[field.name])
        if described[field.name].has_presence:
            where_present.append((place, field.name, read_field, field.default))
        elif read_field is not None:
            always.append((place, read_field))
    fetch = _fetch([field.name for field in own_fields(domain_type)])

    def read(message: Any) -> Any:
        values = list(fetch(message))
        for place, read_field in always:
            values[place] = read_field(values[place])
        for place, name, read_present, default in where_present:
            if not message.HasField(name):
                if default is dataclasses.MISSING:
                    raise Rejected(f"{domain_type.__name__}.{name} is missing")
                values[place] = default
            elif read_present is not None:
                values[place] = read_present(values[place])
        if is_carried and UnknownFieldSet(message):
            return domain_type(*values, unknown_fields=_unknown_fields(message))
        return domain_type(*values)

    return read


def _fetch(names: list[str]) -> Read:
    # All at once: a message's fields cost a call each otherwise.
    return attrgetter(*names) if len(names) > 1 else lambda message: [getattr(message, name) for name in names]


def _unknown_fields(message: Any) -> bytes:
    rest = type(message)()
    rest.CopyFrom(message)
    for field, _ in message.ListFields():
        rest.ClearField(field.name)
    return cast(bytes, rest.SerializeToString(deterministic=True))


def _field_reader(where: str, field: "dataclasses.Field[Any]", hint: Any) -> Read | None:
    """What becomes of a field's value as protobuf tells it; None where it stays."""
    kind = _required(hint)
    may_be_unset = kind is not hint or field.default == ""
    if _is_enum(kind):
        return _enum_reader(where, kind, may_be_unset=may_be_unset)
    if get_origin(kind) is tuple:
        part = get_args(kind)[0]
        if not dataclasses.is_dataclass(part):
            return tuple
        read_part = _reader(cast(type[Any], part))
        return lambda told: tuple([read_part(item) for item in told])
    if dataclasses.is_dataclass(kind):
        return _reader(cast(type[Any], kind))
    if kind is float:
        return lambda told: told if math.isfinite(told) else _refuse(f"{where} is {told}: every number must be finite")
    if kind is str and not may_be_unset and field.name not in _MAY_BE_EMPTY:
        return lambda told: told or _refuse(f"{where} is empty")
    return None


def _enum_reader(where: str, enum: type[StrEnum], *, may_be_unset: bool) -> Read:
    known = enumerators(enum)

    def read(told: int) -> StrEnum | None:
        value = known[told] if told in known else enum_from_wire(enum, told, where)
        if value is None and not may_be_unset:
            raise Rejected(f"{where} is unspecified")
        return value

    return read


def _refuse(why: str) -> typing.NoReturn:
    raise Rejected(why)


def _required(hint: Any) -> Any:
    if get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    (inner,) = [arm for arm in get_args(hint) if arm is not type(None)]
    return inner


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)
