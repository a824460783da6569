"""A replica is in the registry while it can serve, and out of it at once when it can't."""

import asyncio
from collections.abc import Callable

from services.generators.attendance import Attendance
from shared.cancellation import end
from shared.domain import GeneratorIdentity, GeneratorRegistration
from shared.ports import Entry, KeyValue
from shared.registry import GeneratorRegistry
from tests.rooms import until

ENTRY = GeneratorRegistration(GeneratorIdentity("agentic", "1.0.0", "one"), (), 1.0, "", is_draining=False)


class Bucket:
    """Values in memory that never expire."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get(self, key: str) -> Entry | None:
        return Entry(self.values[key], 1) if key in self.values else None

    async def put(self, key: str, value: bytes) -> int:
        self.values[key] = value
        return 1

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)

    async def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.values if key.startswith(prefix))


class Said:
    """An activity that remembers."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def report(self, what: str, *, run_id: str = "", num_done: int = 0, num_total: int = 0) -> None:
        self.words.append(what)


def attendance(bucket: Bucket, lacks: Callable[[], str], said: Said) -> Attendance:
    async def opened(name: str, ttl_s: float) -> KeyValue:
        return bucket  # type: ignore[return-value]

    return Attendance(GeneratorRegistry(opened), ENTRY, every_s=0.01, lacks=lacks, activity=said)


async def test_it_leaves_while_it_lacks_something_and_comes_back() -> None:
    bucket, said, lacking = Bucket(), Said(), [""]
    beating = asyncio.create_task(attendance(bucket, lambda: lacking[0], said).beat(lambda: "host:1"))
    await until(lambda: bucket.values)
    lacking[0] = "no endpoint"
    await until(lambda: not bucket.values)
    assert said.words == ["no endpoint"], "told once"
    lacking[0] = ""
    await until(lambda: bucket.values)
    assert said.words == ["no endpoint", ""]
    await end([beating])
    assert bucket.values == {}


async def test_what_lacks_something_from_the_start_never_shows_not_even_draining() -> None:
    bucket, said = Bucket(), Said()
    here = attendance(bucket, lambda: "no models", said)
    beating = asyncio.create_task(here.beat(lambda: "host:1"))
    await until(lambda: said.words)
    await here.announce_draining()
    assert bucket.values == {}
    await end([beating])


async def test_it_says_at_once_that_it_drains() -> None:
    bucket = Bucket()
    here = attendance(bucket, lambda: "", Said())
    beating = asyncio.create_task(here.beat(lambda: "host:1"))
    await until(lambda: bucket.values)
    await here.announce_draining()
    assert here.entry.is_draining and here.entry.grpc_address == "host:1"
    await end([beating])
