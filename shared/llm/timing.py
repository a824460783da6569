"""Clock and chance as arguments, so that what waits can be tested without waiting."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Timing:
    """What time it is, how to wait, and how to spread waits."""

    now: Callable[[], float]
    """Seconds that never go backwards."""
    rng: Random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
