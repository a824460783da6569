"""`--set SECTION.FIELD=VALUE`: the fields of a run's settings, and how each kind of value is written."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, get_type_hints

from shared.domain import KindShare, RoleLimit
from shared.errors import BadConfiguration

IN_A_FILE = "fixed_weights"
"""The one field that has an option of its own."""


def apply_overrides(sections: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Sections of the specification with `SECTION.FIELD=VALUE` applied in order.

    Raises:
        BadConfiguration: no such field, or a value of the wrong kind.
    """
    changed = dict(sections)
    for override in overrides:
        name, separator, value = override.partition("=")
        section, _, field = name.strip().partition(".")
        hints = get_type_hints(type(changed[section])) if section in changed else {}
        if not separator or field not in hints or field == IN_A_FILE:
            raise BadConfiguration(f"--set {override}: write SECTION.FIELD=VALUE with a field of {', '.join(known_fields(sections))}")
        try:
            parsed = LISTS[field](value.strip()) if field in LISTS else _single(hints[field], value.strip())
        except ValueError as error:
            raise BadConfiguration(f"--set {override}: {error}") from error
        changed[section] = dataclasses.replace(changed[section], **{field: parsed})
    return changed


def known_fields(sections: Mapping[str, Any]) -> list[str]:
    """Every field that `--set` takes."""
    return [
        f"{section}.{field.name}" for section, spec in sections.items() for field in dataclasses.fields(spec) if field.name != IN_A_FILE
    ]


def kind_shares(text: str) -> tuple[KindShare, ...]:
    """`agentic:0.3,other:0.1`.

    Raises:
        ValueError: it is written otherwise.
    """
    shares = []
    for part in _parts(text):
        kind, separator, share = part.partition(":")
        if not separator:
            raise ValueError(f"{part!r} is no share: write KIND:SHARE, as in agentic:0.3")
        shares.append(KindShare(kind.strip(), _finite(share)))
    return tuple(shares)


def licences(text: str) -> tuple[str, ...]:
    """`CC0*,CC-BY*`; an empty text allows every licence that is stated."""
    return tuple(_parts(text))


def role_limits(text: str) -> tuple[RoleLimit, ...]:
    """`ask:calls=100:usd=2,verify:tokens=1000000`.

    Raises:
        ValueError: it is written otherwise.
    """
    limits = []
    for part in _parts(text):
        role, *caps = (word.strip() for word in part.split(":"))
        named: dict[str, Any] = {}
        for cap in caps:
            name, separator, number = cap.partition("=")
            if not separator or name not in CAPS or CAPS[name][0] in named:
                raise ValueError(f"{cap!r} is no limit: write each of {', '.join(CAPS)} at most once, as in calls=100")
            field, kind = CAPS[name]
            named[field] = kind(number)
        if not named:
            raise ValueError(f"{part!r} limits nothing: write ROLE:calls=N, ROLE:tokens=N or ROLE:usd=X")
        limits.append(RoleLimit(role, **named))
    return tuple(limits)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("must be finite")
    return number


def _single(hint: Any, value: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    return _finite(value) if hint is float else hint(value)


LISTS: dict[str, Callable[[str], tuple[Any, ...]]] = {
    "kind_shares": kind_shares,
    "allowed_licences": licences,
    "role_limits": role_limits,
}
"""Fields that hold several values, and how they are read."""
CAPS: dict[str, tuple[str, Callable[[str], float]]] = {
    "calls": ("max_calls", int),
    "tokens": ("max_tokens", int),
    "usd": ("max_cost_usd", _finite),
}
"""What a role may be limited in: the field that it is, and how its number is read."""
