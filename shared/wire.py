"""protobuf <-> domain: the one border between messages and values.

Conversion follows field names and types, so a twin that lacks a field fails the contract test instead of dropping data. Reading
checks what every room then trusts: identifiers are there, enumerators are known, numbers are finite. Each type's converter is put
together once, on first use, so that an event costs little more than its fields.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, cast, get_args, get_origin

from google.protobuf.message import DecodeError, Message
from spiral.v1 import evaluator_pb2, events_pb2, generator_pb2, run_pb2, types_pb2

from shared import domain, events, run_spec
from shared.errors import Rejected

T = TypeVar("T")
Read = Callable[[Any], Any]
Write = Callable[[Any, Any], None]
R = TypeVar("R")


def _once_per_type(make: Callable[[type[Any]], R]) -> Callable[[type[Any]], R]:
    return cast(Callable[[type[Any]], R], cache(make))


_MODULES = (types_pb2, events_pb2, run_pb2, evaluator_pb2, generator_pb2)
_MAY_BE_EMPTY = {"parent_model_id", "detail", "explanation", "answer", "question", "scene", "provenance", "majority_answer", "grpc_address"}


@_once_per_type
def message_type(domain_type: type[Any]) -> type[Message]:
    """The generated twin of a domain dataclass, by name.

    Raises:
        LookupError: no message bears that name.
    """
    for module in _MODULES:
        if hasattr(module, domain_type.__name__):
            return cast(type[Message], getattr(module, domain_type.__name__))
    raise LookupError(f"no protobuf message {domain_type.__name__}")


def to_wire(value: Any) -> Message:
    """The message that says the same as a domain value."""
    message = message_type(type(value))()
    _writer(type(value))(message, value)
    return message


def encode(value: Any) -> bytes:
    """A domain value as bytes; equal values give equal bytes."""
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


def enum_to_wire(value: StrEnum) -> int:
    """The number of an enumerator."""
    return _numbers(type(value))[value]


def enum_from_wire(enum: type[StrEnum], number: int, where: str) -> StrEnum | None:
    """The enumerator of a number; None for unspecified.

    Raises:
        Rejected: the number is unknown, as from a newer version of the contract.
    """
    known = _enumerators(enum)
    if number not in known:
        raise Rejected(f"{where}: unknown {enum.__name__} {number}; is the sender newer than this room?")
    return known[number]


@cache
def _enumerators(enum: type[StrEnum]) -> dict[int, StrEnum | None]:
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in enum.__name__)[1:] + "_"
    named = {value.number: value.name.removeprefix(prefix) for value in types_pb2.DESCRIPTOR.enum_types_by_name[enum.__name__].values}
    return {number: None if name == "UNSPECIFIED" else enum[name] for number, name in named.items()}


@cache
def _numbers(enum: type[StrEnum]) -> dict[StrEnum, int]:
    return {enumerator: number for number, enumerator in _enumerators(enum).items() if enumerator is not None}


@_once_per_type
def _writer(domain_type: type[Any]) -> Write:
    plain: list[str] = []
    others: list[Write] = []
    hints = typing.get_type_hints(domain_type)
    for field in dataclasses.fields(domain_type):
        if hints[field.name] in (str, int, float, bool, bytes):
            plain.append(field.name)
        else:
            others.append(_field_writer(field.name, _required(hints[field.name])))

    def write(message: Any, value: Any) -> None:
        for name in plain:
            setattr(message, name, getattr(value, name))
        for write_field in others:
            write_field(message, value)

    return write


def _field_writer(name: str, hint: Any) -> Write:
    part = get_args(hint)[0] if get_origin(hint) is tuple else hint
    write_part = _writer(cast(type[Any], part)) if dataclasses.is_dataclass(part) else None
    numbers = _numbers(hint) if _is_enum(hint) else None

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
            setattr(message, name, field_value if numbers is None else numbers[field_value])

    return write_field


@_once_per_type
def _reader(domain_type: type[Any]) -> Read:
    hints = typing.get_type_hints(domain_type)
    fields = [_field_reader(f"{domain_type.__name__}.{f.name}", f.name, hints[f.name]) for f in dataclasses.fields(domain_type)]

    def read(message: Any) -> Any:
        return domain_type(*[read_field(message) for read_field in fields])

    return read


def _field_reader(where: str, name: str, hint: Any) -> Read:
    required = _required(hint)
    if _is_enum(required):
        return _enum_reader(where, name, required, is_optional=required is not hint)
    if required is not hint:
        read = _field_reader(where, name, required)
        return lambda message: read(message) if message.HasField(name) else None
    if get_origin(hint) is tuple:
        part = get_args(hint)[0]
        if not dataclasses.is_dataclass(part):
            return lambda message: tuple(getattr(message, name))
        read_part = _reader(cast(type[Any], part))
        return lambda message: tuple([read_part(item) for item in getattr(message, name)])
    if dataclasses.is_dataclass(hint):
        return _message_reader(where, name, _reader(cast(type[Any], hint)))
    if hint is float:
        return _number_reader(where, name)
    if hint is str and name not in _MAY_BE_EMPTY:
        return _text_reader(where, name)
    return attrgetter(name)


def _enum_reader(where: str, name: str, enum: type[StrEnum], *, is_optional: bool) -> Read:
    def read(message: Any) -> StrEnum | None:
        value = enum_from_wire(enum, getattr(message, name), where)
        if value is None and not is_optional:
            raise Rejected(f"{where} is unspecified")
        return value

    return read


def _message_reader(where: str, name: str, read_message: Read) -> Read:
    def read(message: Any) -> Any:
        if not message.HasField(name):
            raise Rejected(f"{where} is missing")
        return read_message(getattr(message, name))

    return read


def _number_reader(where: str, name: str) -> Read:
    def read(message: Any) -> float:
        number: float = getattr(message, name)
        if not math.isfinite(number):
            raise Rejected(f"{where} is {number}: every number must be finite")
        return number

    return read


def _text_reader(where: str, name: str) -> Read:
    def read(message: Any) -> str:
        text: str = getattr(message, name)
        if not text:
            raise Rejected(f"{where} is empty")
        return text

    return read


def _required(hint: Any) -> Any:
    if get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    (inner,) = [arm for arm in get_args(hint) if arm is not type(None)]
    return inner


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)


# What has a twin, for the contract test.
TWINS: tuple[type[Any], ...] = tuple(
    value
    for module in (domain, events, run_spec)
    for value in vars(module).values()
    if dataclasses.is_dataclass(value) and value.__module__ == module.__name__ and value is not events.Event and isinstance(value, type)
)
