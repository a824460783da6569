"""One bounded way to do many awaits at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


async def in_parallel(call: Callable[[A], Awaitable[T]], values: Iterable[A], *, limit: int) -> list[T]:
    """What `call` returns for each value, in order, with at most `limit` calls under way.

    Raises:
        BaseException: the first that a call raises, as it is; the other calls are cancelled and have ended by then.
    """
    gate = asyncio.Semaphore(limit)

    async def one(value: A) -> T:
        async with gate:
            return await call(value)

    tasks = [asyncio.ensure_future(one(value)) for value in values]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
