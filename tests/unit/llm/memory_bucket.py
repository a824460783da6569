"""A key-value bucket in memory, which loses answers, arrives late and conflicts as a script says."""

import asyncio
from collections.abc import Callable

from shared.errors import Retryable
from shared.ports import Conflict, Entry

FINE, LOST_REQUEST, LOST_ANSWER, LATE = "fine", "lost request", "lost answer", "late"


class MemoryBucket:
    """Compare-and-set as JetStream has it. `mishap` is asked before each write: what happens to it.

    A late write gives Retryable at once, and is tried after the next write that comes, whatever that one is.
    """

    def __init__(self, mishap: Callable[[], str] = lambda: FINE, *, is_away: Callable[[], bool] = lambda: False) -> None:
        self.mishap = mishap
        self.is_away = is_away
        self.num_writes = 0
        self.history: list[bytes] = []
        self._entries: dict[str, Entry] = {}
        self._late: list[tuple[str, bytes, int]] = []

    async def get(self, key: str) -> Entry | None:
        await asyncio.sleep(0)
        if self.is_away():
            raise Retryable("away")
        return self._entries.get(key)

    async def create(self, key: str, value: bytes) -> int:
        return await self.update(key, value, 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        await asyncio.sleep(0)
        what = LOST_REQUEST if self.is_away() else self.mishap()
        if what == LOST_REQUEST:
            raise Retryable("lost")
        if what == LATE:
            self._late.append((key, value, revision))
            raise Retryable("late")
        try:
            written = self._set(key, value, revision)
        finally:
            late, self._late = self._late, []
            for each in late:
                self._try(*each)
        await asyncio.sleep(0)
        if what == LOST_ANSWER:
            raise Retryable("lost")
        return written

    async def put(self, key: str, value: bytes) -> int:
        entry = self._entries.get(key)
        return self._set(key, value, entry.revision if entry else 0)

    async def delete(self, key: str) -> None:
        self._entries.pop(key, None)

    async def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._entries if key.startswith(prefix))

    def arrive(self) -> None:
        """Late writes come in now."""
        late, self._late = self._late, []
        for each in late:
            self._try(*each)

    def _try(self, key: str, value: bytes, revision: int) -> None:
        try:
            self._set(key, value, revision)
        except Conflict:
            return

    def _set(self, key: str, value: bytes, revision: int) -> int:
        standing = self._entries.get(key)
        if (standing.revision if standing else 0) != revision:
            raise Conflict(key)
        self._entries[key] = Entry(value, revision + 1)
        self.num_writes += 1
        self.history.append(value)
        return revision + 1
