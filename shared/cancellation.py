"""Ending tasks for sure."""

import asyncio
from collections.abc import Iterable
from typing import Any

_PATIENCE_S = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and returns once they have ended; their errors are left in them.

    Cancels again and again: `asyncio.wait_for`, which the broker's client uses throughout, forgets in Python 3.11 a cancellation that comes
    together with what it waits for.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_PATIENCE_S)
