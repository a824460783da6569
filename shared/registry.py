"""Which generators live: they announce themselves with a heartbeat, and who falls silent is gone. Which kinds the operator paused."""

import re
from collections.abc import Awaitable, Callable

from shared import wire
from shared.domain import GeneratorRegistration
from shared.errors import Rejected
from shared.ports import KeyValue
from shared.telemetry import log

BUCKET = "spiral_generators"
PAUSED = "spiral_paused_kinds"
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
EXPIRY_S = 8.0
"""An entry lives so long after its last announcement. With the second between two looks, a silent kind is missed within ten."""


class GeneratorRegistry:
    """The registry bucket as registrations, and the bucket of paused kinds."""

    def __init__(self, bucket: Callable[[str, float], Awaitable[KeyValue]]) -> None:
        """Takes how to open a bucket by name and lifetime of its entries in seconds, 0 for ever (`Bus.bucket`)."""
        self._bucket = bucket
        self._told = set[tuple[str, str]]()

    async def announce(self, registration: GeneratorRegistration) -> None:
        """Makes a replica known for the next eight seconds; repeat every few."""
        await (await self._bucket(BUCKET, EXPIRY_S)).put(_key(registration), wire.encode(registration))

    async def withdraw(self, registration: GeneratorRegistration) -> None:
        """Makes a replica unknown at once."""
        await (await self._bucket(BUCKET, EXPIRY_S)).delete(_key(registration))

    async def living(self) -> list[GeneratorRegistration]:
        """All replicas that announced themselves lately, ordered by kind and instance; what is no registration is left out and logged."""
        bucket = await self._bucket(BUCKET, EXPIRY_S)
        found = []
        for key in await bucket.keys():
            entry = await bucket.get(key)
            if entry is None:
                continue
            try:
                found.append(_checked(key, wire.decode(GeneratorRegistration, entry.value)))
            except Rejected as error:
                # The planner asks every second.
                if (complaint := (key, str(error))) not in self._told:
                    self._told.add(complaint)
                    log.warning("a generator's registration is malformed, so it gets no leases", key=key, reason=str(error))
        return found

    async def pause(self, kind: str) -> None:
        """No new leases for a kind, whoever of it lives or comes, until it is resumed."""
        await (await self._bucket(PAUSED, 0.0)).put(kind, b"")

    async def resume(self, kind: str) -> None:
        """Leases for a kind again."""
        await (await self._bucket(PAUSED, 0.0)).delete(kind)

    async def paused(self) -> frozenset[str]:
        """The kinds that are paused."""
        return frozenset(await (await self._bucket(PAUSED, 0.0)).keys())


def _checked(key: str, registration: GeneratorRegistration) -> GeneratorRegistration:
    """The registration, if its names can stand in subjects and keys and it is its own."""
    maker = registration.generator
    if not (_WORD.fullmatch(maker.kind) and _WORD.fullmatch(maker.instance_id)):
        raise Rejected(f"kind {maker.kind!r} and instance_id {maker.instance_id!r} must be 1 to 64 letters, digits, '-' or '_'")
    if key != _key(registration):
        raise Rejected(f"it is that of {_key(registration)!r}")
    return registration


def _key(registration: GeneratorRegistration) -> str:
    return f"{registration.generator.kind}.{registration.generator.instance_id}"
