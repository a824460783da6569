"""Who is there and what it does: every room says so once a second in a bucket whose entries expire."""

import asyncio
import json
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from pydantic import TypeAdapter

from shared.bus import Bus
from shared.catalogue import Room
from shared.errors import Retryable
from shared.telemetry import log

BUCKET = "spiral_rooms"
EXPIRY_S = 6.0
_BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class CurrentActivity:
    """What a room works on; an empty `what` is idleness."""

    what: str = ""
    run_id: str = ""
    num_done: int = 0
    num_total: int = 0


@dataclass(frozen=True, slots=True)
class Presence:
    """One process of a room, as of its last heartbeat."""

    room: str
    kind: str | None
    instance_id: str
    pid: int
    version: str
    grpc_address: str
    state: str
    """starting, serving or draining."""
    started_at: str
    heartbeat_at: str
    """ISO 8601."""
    activity: CurrentActivity = field(default_factory=CurrentActivity)


# What a room of a newer version adds is passed over.
_PRESENCE = TypeAdapter(Presence)


class RoomPresence:
    """The `Activity` port, and the heartbeat that makes it known."""

    def __init__(self, bus: Bus, room: Room, instance_id: str) -> None:
        self._bus = bus
        now = _now()
        self._presence = Presence(room.value, None, instance_id, os.getpid(), _version(), "", "starting", now, now)

    @property
    def grpc_address(self) -> str:
        """Where others reach this room; empty before its server has started."""
        return self._presence.grpc_address

    def report(self, what: str, *, run_id: str = "", num_done: int = 0, num_total: int = 0) -> None:
        """States the current work; an empty `what` means idle."""
        self._presence = replace(self._presence, activity=CurrentActivity(what, run_id, num_done, num_total))

    def describe(self, *, state: str, kind: str | None = None, grpc_address: str = "") -> None:
        """States where the room is in its life."""
        self._presence = replace(
            self._presence,
            state=state,
            kind=kind or self._presence.kind,
            grpc_address=grpc_address or self._presence.grpc_address,
        )

    async def say(self) -> None:
        """Makes the present state known for the next seconds."""
        self._presence = replace(self._presence, heartbeat_at=_now())
        bucket = await self._bus.bucket(BUCKET, ttl_s=EXPIRY_S)
        await bucket.put(self._key, json.dumps(asdict(self._presence)).encode())

    async def beat(self) -> None:
        """Says so every second, until cancelled; a broker that is away is no reason to stop."""
        while True:
            try:
                await self.say()
            except Retryable as error:
                log.debug("heartbeat not heard", reason=str(error))
            await asyncio.sleep(_BEAT_S)

    async def leave(self) -> None:
        """Is gone at once."""
        try:
            await (await self._bus.bucket(BUCKET, ttl_s=EXPIRY_S)).delete(self._key)
        except Retryable as error:
            log.debug("leave-taking not heard", reason=str(error))

    @property
    def _key(self) -> str:
        return f"{self._presence.room}.{self._presence.instance_id}"


async def present(bus: Bus) -> list[Presence]:
    """Every living process of every room, ordered by room and instance.

    Raises:
        Retryable: the broker is away.
    """
    bucket = await bus.bucket(BUCKET, ttl_s=EXPIRY_S)
    entries = [await bucket.get(key) for key in await bucket.keys()]
    found = []
    for entry in entries:
        if entry is not None:
            found.append(_PRESENCE.validate_json(entry.value))
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _version() -> str:
    try:
        return version("spiral-dpe")
    except PackageNotFoundError:
        return "source"
