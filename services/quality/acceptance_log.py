"""The shared log of a run: its reviews, one after the other, whichever replica made them. It makes acceptance one line.

Bucket `spiral_fingerprints`: under `<run_id>.<n>`, counted from 1, stands the manifest of a review as it is going to be committed, set by
`create` once its files stand in the store. Who judged beside the first n entries sets entry n + 1. Where somebody was faster that fails,
and what both accepted is compared before the next attempt: no two reviews ever accept copies of each other. A crash between any two steps
ends the same: without an entry the lease is reviewed again, with one its manifest is committed from it.

Manifests are the truth that outlasts the bucket. `<run_id>.0` names the log as a whole: where it is another than was read, or none, the log
was lost, and reviews that stand in the store without an entry are entered again, in the order of their leases. Runs of versions that knew
no log are taken up the same way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import takewhile
from typing import TypeVar
from uuid import uuid4

from services.quality.records import FINGERPRINTS_FILE, is_review, read_marks
from services.quality.run_index import Mark, RunIndex, place_of
from shared.artifacts import Artifacts, Manifest
from shared.in_parallel import in_parallel
from shared.manifest import manifest_of, manifest_text
from shared.ports import Conflict, KeyValue
from shared.telemetry import log

BUCKET = "spiral_fingerprints"

_NUM_AT_ONCE = 32

T = TypeVar("T")


class AcceptanceLog:
    """One run's log, as far as this replica has read it. Every method raises Retryable while broker or store are away."""

    def __init__(self, run_id: str, artifacts: Artifacts, bucket: Callable[[], Awaitable[KeyValue]]) -> None:
        """Takes how to open the bucket: it is asked for each time, since it may have been lost."""
        self._run_id = run_id
        self._artifacts = artifacts
        self._bucket = bucket
        self._lock = asyncio.Lock()
        self._forget()

    async def read(self) -> int:
        """Reads on to the log's end and says how many entries it has."""
        async with self._lock:
            bucket = await self._bucket()
            head = await bucket.get(self._key(0))
            if head is None or head.value != self._identity:
                await self._begin(bucket)
            else:
                await self._read_on(bucket)
            return self._num_read

    async def look(self, question: Callable[[RunIndex], T]) -> T:
        """What a question to the index of all that was read answers; it runs in a thread, and the index stays as it is meanwhile."""
        async with self._lock:
            return await asyncio.to_thread(question, self._index)

    async def find(self, name: str) -> Manifest | None:
        """The review of that name, where an entry holds it that was read."""
        number = self._numbers.get(name)
        if number is None:
            return None
        entry = await (await self._bucket()).get(self._key(number))
        return manifest_of(entry.value, self._key(number)) if entry else None

    async def append(self, review: Manifest, *, after: int) -> bool:
        """Enters a review that was judged beside the first `after` entries; False where there are more of them by now."""
        bucket = await self._bucket()
        try:
            await bucket.create(self._key(after + 1), manifest_text(review))
        except Conflict:
            return False
        return True

    def _forget(self) -> None:
        self._identity = b""
        self._num_read = 0
        self._numbers: dict[str, int] = {}
        self._index = RunIndex()

    def _key(self, number: int) -> str:
        return f"{self._run_id}.{number}"

    async def _begin(self, bucket: KeyValue) -> None:
        self._forget()
        identity = await self._identify(bucket)
        # Listed before the log is read: what is committed later has an entry.
        names = await self._standing()
        await self._read_on(bucket)
        missing = [name for name in names if name not in self._numbers]
        if missing:
            log.warning("reviews enter the log of their run anew", run_id=self._run_id, num_reviews=len(missing))
        for review in await in_parallel(self._committed, missing, limit=_NUM_AT_ONCE):
            while review is not None and review.name not in self._numbers:
                await self.append(review, after=self._num_read)
                await self._read_on(bucket)
        self._identity = identity

    async def _identify(self, bucket: KeyValue) -> bytes:
        try:
            identity = uuid4().hex.encode()
            await bucket.create(self._key(0), identity)
        except Conflict:
            head = await bucket.get(self._key(0))
            identity = head.value if head else b""
        return identity

    async def _standing(self) -> list[str]:
        """The run's committed reviews, in the order of their leases."""
        names = await self._artifacts.names(f"runs/{self._run_id}/")
        return sorted((name for name in names if is_review(name)), key=_order)

    async def _committed(self, name: str) -> Manifest | None:
        ref = await self._artifacts.find(name)
        return await self._artifacts.manifest(ref) if ref else None

    async def _read_on(self, bucket: KeyValue) -> None:
        num_wanted = 1
        while True:
            keys = [self._key(self._num_read + 1 + ahead) for ahead in range(num_wanted)]
            entries = await in_parallel(bucket.get, keys, limit=_NUM_AT_ONCE)
            reviews = [manifest_of(entry.value, key) for key, entry in zip(keys, takewhile(bool, entries), strict=False) if entry]
            self._take(zip(reviews, await in_parallel(self._marks, reviews, limit=_NUM_AT_ONCE), strict=True))
            if len(reviews) < num_wanted:
                return
            num_wanted = _NUM_AT_ONCE

    async def _marks(self, review: Manifest) -> list[Mark]:
        return await asyncio.to_thread(read_marks, await self._artifacts.read_bytes(review.files[FINGERPRINTS_FILE]))

    def _take(self, found: Iterable[tuple[Manifest, list[Mark]]]) -> None:
        # Without a pause in between: cancelled, the index holds an entry or does not.
        for review, marks in found:
            self._num_read += 1
            self._numbers[review.name] = self._num_read
            self._index.add(place_of(review.name.rpartition("/")[2]), marks)


def _order(name: str) -> tuple[int, str, str, int]:
    place = place_of(name.rpartition("/")[2])
    return place.iteration, place.cell.category.value, place.cell.question_type.value, place.ordinal
