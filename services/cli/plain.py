"""Values of the inside as JSON values."""

import dataclasses
from enum import StrEnum
from typing import Any

from shared.twins import own_fields


def plain(value: Any, *, num_digits: int | None = None) -> Any:
    """A value as JSON values, what newer versions say beside it left out; floats rounded to so many digits, where that is given."""
    if isinstance(value, StrEnum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), num_digits=num_digits) for field in own_fields(type(value))}
    if isinstance(value, tuple | list):
        return [plain(part, num_digits=num_digits) for part in value]
    if isinstance(value, dict):
        return {str(key): plain(part, num_digits=num_digits) for key, part in value.items()}
    if isinstance(value, float) and num_digits is not None:
        return round(value, num_digits)
    return value
