"""The `KeyValue` port on a real nats-server, and the entries that expire in it."""

import asyncio
from dataclasses import replace

import pytest

from shared import registry
from shared.bus import Bus
from shared.domain import Cell, GeneratorIdentity, GeneratorRegistration, ImageCategory, QuestionType
from shared.errors import Retryable
from shared.ports import Conflict, KeyValue, compare_and_set
from shared.registry import GeneratorRegistry
from shared.wire import encode
from tests.rooms import eventually


async def test_a_key_is_created_once_and_updated_only_from_what_was_read(bus: Bus) -> None:
    bucket = await bus.bucket("ledgers")
    assert await bucket.get("r1") is None
    revision = await bucket.create("r1", b"one")
    with pytest.raises(Conflict):
        await bucket.create("r1", b"two")
    newer = await bucket.update("r1", b"two", revision)
    with pytest.raises(Conflict):
        await bucket.update("r1", b"three", revision)
    entry = await bucket.get("r1")
    assert entry is not None
    assert (entry.value, entry.revision) == (b"two", newer)


async def test_a_deleted_key_is_gone_and_may_be_created_again(bus: Bus) -> None:
    bucket = await bus.bucket("ledgers")
    revision = await bucket.create("r1", b"one")
    await bucket.delete("r1")
    await bucket.delete("never-there")
    assert await bucket.get("r1") is None
    assert await bucket.keys() == []
    with pytest.raises(Conflict):
        await bucket.update("r1", b"late", revision)
    await bucket.create("r1", b"two")


async def test_keys_are_listed_by_prefix(bus: Bus) -> None:
    bucket = await bus.bucket("fingerprints")
    assert await bucket.keys() == []
    for key in ("r2.b", "r1.b", "r1.a"):
        await bucket.put(key, b"")
    assert await bucket.keys() == ["r1.a", "r1.b", "r2.b"]
    assert await bucket.keys("r1.") == ["r1.a", "r1.b"]


async def test_concurrent_changes_all_count(bus: Bus) -> None:
    bucket = await bus.bucket("ledgers")

    async def increment(value: bytes | None) -> tuple[bytes, None]:
        await asyncio.sleep(0)
        return str(int(value or b"0") + 1).encode(), None

    await asyncio.gather(*(compare_and_set(bucket, "counter", increment) for _ in range(20)))
    entry = await bucket.get("counter")
    assert entry is not None
    assert entry.value == b"20"


async def test_a_generator_that_falls_silent_or_leaves_is_no_longer_living(bus: Bus) -> None:
    async def shorter(name: str, ttl_s: float) -> KeyValue:
        return await bus.bucket(name, ttl_s=ttl_s / 10)

    generators = GeneratorRegistry(shorter)
    cells = (Cell(ImageCategory.MAP, QuestionType.TEXT), Cell(ImageCategory.DIAGRAM, QuestionType.NUMERIC))
    silent = GeneratorRegistration(GeneratorIdentity("rendered", "1.0.0", "a"), cells, 0.01, "127.0.0.1:1", is_draining=False)
    leaving = GeneratorRegistration(GeneratorIdentity("rendered", "1.1.0", "b"), cells, 0.01, "127.0.0.1:2", is_draining=True)
    await generators.announce(silent)
    await generators.announce(leaving)
    assert await generators.living() == [silent, leaving]
    await generators.withdraw(leaving)
    assert await generators.living() == [silent]

    async def nobody_lives() -> bool:
        return not await generators.living()

    await eventually(nobody_lives)


async def test_what_is_no_registration_does_not_hide_the_others(bus: Bus) -> None:
    generators = GeneratorRegistry(bus.bucket)
    good = GeneratorRegistration(GeneratorIdentity("rendered", "1.0.0", "a"), (), 0.01, "", is_draining=False)
    await generators.announce(good)
    bucket = await bus.bucket(registry.BUCKET, ttl_s=registry.EXPIRY_S)
    await bucket.put("foreign.1", b"{}")
    await bucket.put("rendered.b", encode(good))
    await generators.announce(replace(good, generator=GeneratorIdentity("two.words", "1.0.0", "a")))
    assert await generators.living() == [good]


async def test_a_kind_stays_paused_until_it_is_resumed(bus: Bus) -> None:
    generators = GeneratorRegistry(bus.bucket)
    await generators.pause("rendered")
    await generators.pause("agentic")
    assert await GeneratorRegistry(bus.bucket).paused() == {"rendered", "agentic"}
    await generators.resume("agentic")
    await generators.resume("never-paused")
    assert await generators.paused() == {"rendered"}


async def test_entries_of_the_registry_last_eight_seconds(bus: Bus) -> None:
    await bus.bucket(registry.BUCKET, ttl_s=registry.EXPIRY_S)
    assert (await bus.js.stream_info(f"KV_{registry.BUCKET}")).config.max_age == 8


async def test_a_bucket_that_was_removed_is_told_and_opened_anew(bus: Bus) -> None:
    bucket = await bus.bucket("ledgers")
    await bucket.create("r1", b"one")
    await bus.js.delete_key_value("ledgers")
    assert await bucket.get("r1") is None
    with pytest.raises(Retryable):
        await bucket.create("r1", b"two")
    again = await bus.bucket("ledgers")
    assert await again.get("r1") is None
    await again.create("r1", b"three")
    assert await bus.bucket("ledgers") is again
