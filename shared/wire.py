"""protobuf <-> domain: the one border between messages and values.

Conversion follows field names and types, so a twin that lacks a field fails the contract test instead of dropping data. Reading
checks what every room then trusts: identifiers are there, enumerators are known, numbers are finite.
"""

import dataclasses
import math
import types
import typing
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin

from google.protobuf.message import DecodeError, Message
from spiral.v1 import evaluator_pb2, events_pb2, generator_pb2, run_pb2, types_pb2

from shared import domain, events, run_spec
from shared.errors import Rejected

T = TypeVar("T")

_MODULES = (types_pb2, events_pb2, run_pb2, evaluator_pb2, generator_pb2)
_MAY_BE_EMPTY = {"parent_model_id", "detail", "explanation", "answer", "question", "scene", "provenance", "majority_answer"}


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
    for field in dataclasses.fields(value):
        _set(message, field.name, getattr(value, field.name))
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
    values = {}
    for name, hint in _hints(domain_type).items():
        values[name] = _get(domain_type.__name__, message, name, hint)
    return domain_type(**values)


@cache
def _hints(domain_type: type[Any]) -> dict[str, Any]:
    return {field.name: hint for field in dataclasses.fields(domain_type) for hint in [typing.get_type_hints(domain_type)[field.name]]}


def _enum_prefix(enum: type[StrEnum]) -> str:
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in enum.__name__).lstrip("_")


def enum_to_wire(value: StrEnum) -> int:
    """The number of an enumerator."""
    return int(getattr(types_pb2, f"{_enum_prefix(type(value))}_{value.name}"))


def enum_from_wire(enum: type[StrEnum], number: int, where: str) -> StrEnum | None:
    """The enumerator of a number; None for unspecified.

    Raises:
        Rejected: the number is unknown, as from a newer version of the contract.
    """
    prefix = _enum_prefix(enum)
    descriptor = types_pb2.DESCRIPTOR.enum_types_by_name[enum.__name__]
    known = descriptor.values_by_number.get(number)
    if known is None:
        raise Rejected(f"{where}: unknown {enum.__name__} {number}; is the sender newer than this room?")
    name = known.name.removeprefix(f"{prefix}_")
    return None if name == "UNSPECIFIED" else enum[name]


def _set(message: Message, name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, tuple):
        target = getattr(message, name)
        for part in value:
            if dataclasses.is_dataclass(part):
                target.add().CopyFrom(to_wire(part))
            else:
                target.append(part)
    elif dataclasses.is_dataclass(value):
        getattr(message, name).CopyFrom(to_wire(value))
    elif isinstance(value, StrEnum):
        setattr(message, name, enum_to_wire(value))
    else:
        setattr(message, name, value)


def _get(owner: str, message: Message, name: str, hint: Any) -> Any:
    where = f"{owner}.{name}"
    raw = getattr(message, name)
    if get_origin(hint) in (types.UnionType, typing.Union):
        (inner,) = [arm for arm in get_args(hint) if arm is not type(None)]
        if isinstance(inner, type) and issubclass(inner, StrEnum):
            return enum_from_wire(inner, raw, where)
        return _get(owner, message, name, inner) if message.HasField(name) else None
    if get_origin(hint) is tuple:
        part = get_args(hint)[0]
        return tuple(from_wire(part, item) if dataclasses.is_dataclass(part) else item for item in raw)
    if dataclasses.is_dataclass(hint):
        if not message.HasField(name):
            raise Rejected(f"{where} is missing")
        return from_wire(cast(type[Any], hint), raw)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        value = enum_from_wire(hint, raw, where)
        if value is None:
            raise Rejected(f"{where} is unspecified")
        return value
    if hint is float and not math.isfinite(raw):
        raise Rejected(f"{where} is {raw}: every number must be finite")
    if hint is str and not raw and name not in _MAY_BE_EMPTY:
        raise Rejected(f"{where} is empty")
    return raw


# What has a twin, for the contract test.
TWINS: tuple[type[Any], ...] = tuple(
    value
    for module in (domain, events, run_spec)
    for value in vars(module).values()
    if dataclasses.is_dataclass(value) and value.__module__ == module.__name__ and value is not events.Event and isinstance(value, type)
)
