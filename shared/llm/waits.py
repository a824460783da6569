"""How long to wait before asking again. Pure: clock and chance are arguments."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random


def backoff_s(attempt: int, rng: Random, *, first_s: float, most_s: float) -> float:
    """The wait after a failed attempt (from 1): doubles with each one, and is jittered downwards by up to half."""
    longest = min(most_s, first_s * 2.0 ** min(attempt - 1, 32))
    return longest * rng.uniform(0.5, 1.0)


def retry_after_s(header: str | None, *, now: datetime, most_s: float) -> float | None:
    """The wait that a Retry-After header asks for, in seconds or as an HTTP date, never longer than `most_s`; None where it says none."""
    if header is None:
        return None
    text = header.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    if seconds != seconds:
        return None
    return min(max(0.0, seconds), most_s)
