"""Which licences a run lets in: what quality would refuse is not worth a call."""

from collections.abc import Sequence


def is_allowed(licence: str, allowed: Sequence[str]) -> bool:
    """Whether an image of a licence may come into a run's dataset.

    Args:
        licence: as its source states it; an unstated one never may.
        allowed: names, compared without case; a `*` at the end stands for any ending. None named: every stated licence.
    """
    stated = " ".join(licence.split()).casefold()
    patterns = [pattern.strip().casefold() for pattern in allowed]
    if not stated or not patterns:
        return bool(stated)
    return any(stated.startswith(pattern[:-1]) if pattern.endswith("*") else stated == pattern for pattern in patterns)
