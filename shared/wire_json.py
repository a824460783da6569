"""Values as JSON and back, for manifests and reports: readable, in the names of the contract, and of any version of it."""

import base64
import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict, ParseError

from shared.domain import Carried
from shared.errors import Rejected
from shared.twins import enum_name, message_type, own_fields
from shared.wire import decode, encode, from_wire

T = TypeVar("T")

_WIRE = "wire"
"""Where a value carries fields that this version can't put into JSON, the whole message stands under this key too, in base64."""


def to_json(value: Any) -> dict[str, Any]:
    """A value as JSON values; protobuf reads it as the JSON of the value's message."""
    told: dict[str, Any] = _plain(value)
    if _carries_unknown(value):
        told[_WIRE] = base64.b64encode(encode(value)).decode()
    return told


def from_json(domain_type: type[T], told: Mapping[str, Any]) -> T:
    """The value that `to_json` told, of this version or another: fields that this version does not know are left out.

    Raises:
        Rejected: it is no such value, or one that breaks the contract.
    """
    if _WIRE in told:
        return decode(domain_type, base64.b64decode(told[_WIRE]))
    try:
        message = ParseDict(dict(told), message_type(domain_type)(), ignore_unknown_fields=True)
    except ParseError as error:
        raise Rejected(f"not the JSON of a {domain_type.__name__}: {error}") from error
    return from_wire(domain_type, message)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in own_fields(type(value))}
        return {name: _plain(part) for name, part in parts.items() if part is not None}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return enum_name(value) if isinstance(value, StrEnum) else value


def _carries_unknown(value: Any) -> bool:
    if isinstance(value, Carried) and value.unknown_fields:
        return True
    if isinstance(value, tuple):
        return any(map(_carries_unknown, value))
    return dataclasses.is_dataclass(value) and any(_carries_unknown(getattr(value, field.name)) for field in own_fields(type(value)))
