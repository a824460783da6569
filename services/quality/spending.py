"""Adding up what calls to language models cost. Pure."""

import math
from collections.abc import Iterable

from shared.domain import Spend


def merged(parts: Iterable[Spend]) -> tuple[Spend, ...]:
    """One sum for each role, in the order of their names; roles without a call are left out."""
    by_role: dict[str, list[Spend]] = {}
    for part in parts:
        by_role.setdefault(part.role, []).append(part)
    sums = (_sum(role, group) for role, group in sorted(by_role.items()))
    return tuple(each for each in sums if each.num_calls)


def _sum(role: str, parts: list[Spend]) -> Spend:
    return Spend(
        role,
        sum(part.num_calls for part in parts),
        sum(part.num_input_tokens for part in parts),
        sum(part.num_output_tokens for part in parts),
        math.fsum(part.cost_usd for part in parts),
    )
