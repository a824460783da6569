"""Which protobuf message says what a domain dataclass says, and which number is which enumerator: by name, looked up once."""

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast

from google.protobuf.message import Message
from spiral.v1 import evaluator_pb2, events_pb2, generator_pb2, run_pb2, types_pb2

from shared import domain, events, run_spec
from shared.errors import Rejected

R = TypeVar("R")

_MODULES = (types_pb2, events_pb2, run_pb2, evaluator_pb2, generator_pb2)
_NO_TWIN = (events.Event, domain.Carried)

TWINS: tuple[type[Any], ...] = tuple(
    value
    for module in (domain, events, run_spec)
    for value in vars(module).values()
    if dataclasses.is_dataclass(value) and isinstance(value, type) and value.__module__ == module.__name__ and value not in _NO_TWIN
)
"""The domain dataclasses that have a message."""


def once_per_type(make: Callable[[type[Any]], R]) -> Callable[[type[Any]], R]:
    """Keeps what `make` made for each type."""
    return cast(Callable[[type[Any]], R], cache(make))


@once_per_type
def message_type(domain_type: type[Any]) -> type[Message]:
    """The generated twin of a domain dataclass, by name.

    Raises:
        LookupError: no message bears that name.
    """
    for module in _MODULES:
        if hasattr(module, domain_type.__name__):
            return cast(type[Message], getattr(module, domain_type.__name__))
    raise LookupError(f"no protobuf message {domain_type.__name__}")


def own_fields(domain_type: type[Any]) -> list["dataclasses.Field[Any]"]:
    """The fields of a domain dataclass that its message has, in order: all but what it carries for newer versions."""
    return [field for field in dataclasses.fields(domain_type) if field.name != "unknown_fields"]


def enum_to_wire(value: StrEnum) -> int:
    """The number of an enumerator."""
    return numbers(type(value))[value]


def enum_name(value: StrEnum) -> str:
    """The name of an enumerator in the contract."""
    return _prefix(type(value)) + value.name


def enum_from_wire(enum: type[StrEnum], number: int, where: str) -> StrEnum | None:
    """The enumerator of a number; None for unspecified.

    Raises:
        Rejected: the number is unknown, as from a newer version of the contract.
    """
    known = enumerators(enum)
    if number not in known:
        raise Rejected(f"{where}: unknown {enum.__name__} {number}; is the sender newer than this room?")
    return known[number]


@cache
def enumerators(enum: type[StrEnum]) -> dict[int, StrEnum | None]:
    """Number to enumerator; None is unspecified."""
    named = {value.number: value.name for value in types_pb2.DESCRIPTOR.enum_types_by_name[enum.__name__].values}
    members = {_prefix(enum) + member.name: member for member in enum}
    return {number: None if number == 0 else members[name] for number, name in named.items()}


@cache
def numbers(enum: type[StrEnum]) -> dict[StrEnum, int]:
    """Enumerator to number."""
    return {enumerator: number for number, enumerator in enumerators(enum).items() if enumerator is not None}


def _prefix(enum: type[StrEnum]) -> str:
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in enum.__name__)[1:] + "_"
