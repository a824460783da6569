"""Single flight: equal calls that are under way at the same time share one."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    num_waiting: int = 0


class Flights(Generic[T]):
    """Calls under way by key. A call ends when it is done, or when the last one who waits for it is cancelled."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()

    async def share(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """What `make` returns for a key, and whether it was called for this one.

        Raises:
            BaseException: what `make` raises, to all who wait for it.
        """
        flight = self._flights.get(key)
        is_first = flight is None
        if flight is None:
            flight = _Flight(asyncio.ensure_future(_awaited(make)))
            self._flights[key] = flight
            self._tasks.add(flight.task)
            flight.task.add_done_callback(lambda task: self._land(key, task))
        flight.num_waiting += 1
        try:
            return await asyncio.shield(flight.task), is_first
        finally:
            flight.num_waiting -= 1
            if not flight.num_waiting and not flight.task.done():
                flight.task.cancel()
                # The next one begins anew, and does not wait for what is being ended.
                self._forget(key, flight.task)

    async def close(self) -> None:
        """Ends what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _land(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        self._forget(key, task)
        if not task.cancelled():
            # Retrieved here, for perhaps nobody waits for it any more.
            task.exception()

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        standing = self._flights.get(key)
        if standing is not None and standing.task is task:
            del self._flights[key]


async def _awaited(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
