"""Frozen dataclasses as JSON and back, by their field types: how the ledgers are kept."""

import base64
import dataclasses
import json
import types
import typing
from collections.abc import Hashable
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin

from shared.wire import decode, encode

T = TypeVar("T")

_UNKNOWN = "unknown_fields"


def to_json(value: Any) -> bytes:
    """A dataclass of dataclasses, tuples, enumerators, bytes and plain values as JSON; equal values give equal bytes."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def from_json(kind: type[T], payload: bytes) -> T:
    """The value that `to_json` wrote, perhaps of another version: a field that is missing takes its default, an unknown one is left out.

    Raises:
        ValueError: the payload is no such value.
    """
    try:
        return cast(T, _value(kind, json.loads(payload)))
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        plain = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return plain if plain.get(_UNKNOWN) else {name: part for name, part in plain.items() if name != _UNKNOWN}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.value if isinstance(value, StrEnum) else value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(kind: Any, plain: Any) -> Any:
    if get_origin(kind) in (types.UnionType, typing.Union):
        (inner,) = [arm for arm in get_args(kind) if arm is not types.NoneType]
        return None if plain is None else _value(inner, plain)
    if get_origin(kind) is tuple:
        return tuple(_value(get_args(kind)[0], part) for part in plain)
    if dataclasses.is_dataclass(kind):
        hints = _hints(cast(Hashable, kind))
        value = cast(type[Any], kind)(**{name: _value(hints[name], part) for name, part in plain.items() if name in hints})
        # What the version that wrote the ledger did not know, this one may.
        return decode(cast(type[Any], kind), encode(value)) if plain.get(_UNKNOWN) else value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(plain)
    return base64.b64decode(plain) if kind is bytes else kind(plain)
