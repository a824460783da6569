"""What the runtime hands to a room: small ports, and the values that travel with a delivery."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.run_spec import RunSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cause:
    """What an event follows from. Ids of following events derive from `event_id`.

    `stored_at_ns` (Unix epoch) is when the stream stored the cause: consumers need it to tell a re-publication past the duplicate
    window.
    """

    event_id: str
    stored_at_ns: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an event reached a handler; `attempt` counts from 1."""

    cause: Cause
    attempt: int
    subject: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value and the revision to compare against."""

    value: bytes
    revision: int


class Conflict(Exception):
    """Compare-and-set lost: the key changed since it was read. Read again and decide again."""


class KeyValue(Protocol):
    """A bucket of small durable values that change by compare-and-set."""

    async def get(self, key: str) -> Entry | None:
        """The current value, or None."""

    async def create(self, key: str, value: bytes) -> int:
        """Sets an absent key and returns its revision.

        Raises:
            Conflict: the key exists.
        """

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Sets a key whose last revision is `revision`.

        Raises:
            Conflict: it is not.
        """

    async def put(self, key: str, value: bytes) -> int:
        """Sets a key whatever it held."""

    async def delete(self, key: str) -> None:
        """Removes a key; absent is fine."""

    async def keys(self, prefix: str = "") -> list[str]:
        """The living keys that start with `prefix`, sorted."""


async def compare_and_set(bucket: KeyValue, key: str, change: Callable[[bytes | None], Awaitable[tuple[bytes | None, T]]]) -> T:
    """Applies `change` to a key until it holds, and returns what the winning attempt returned.

    `change` gets the current value and returns the new one (None: leave as it is) and its result; it may run several times.
    """
    while True:
        entry = await bucket.get(key)
        value, result = await change(entry.value if entry else None)
        if value is None:
            return result
        try:
            await (bucket.update(key, value, entry.revision) if entry else bucket.create(key, value))
        except Conflict:
            continue
        return result


class Runs(Protocol):
    """The runs that operators asked for."""

    async def get(self, run_id: str) -> RunSpec:
        """A run's specification.

        Raises:
            NotFound: nobody asked for that run.
        """

    async def unfinished(self) -> list[RunSpec]:
        """Runs without a `run.finished`, oldest first."""


class Activity(Protocol):
    """What a room is doing, for `spiral status` and the live view."""

    def report(self, what: str, *, run_id: str = "", num_done: int = 0, num_total: int = 0) -> None:
        """States the current work; an empty `what` means idle."""
