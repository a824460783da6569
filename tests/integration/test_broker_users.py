"""The users of the broker on a real server: each room does its work as its own user, and nothing of another's."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import nats
import pytest

from deploy.nats import users
from shared.bus import Bus, connect
from shared.catalogue import CATALOGUE, EventType, Room, Stream, durable_name
from shared.dead_letters import list_dead, replay_dead
from shared.errors import Rejected
from shared.events import Event, GenerationRequested, ModelUpdated
from shared.history import scan
from shared.ports import Delivery
from shared.presence import present
from tests.broker import NatsServer
from tests.rooms import eventually, living_room, settled, start_run, until
from tests.settings import room_settings

BINARY = Path(sys.executable).parent / "nats-server"
ROOMS = [room for room in Room if room is not Room.CLI]
KIND = "rendered"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    passwords = re.sub(r"\$NATS_(\w+)_PASSWORD", lambda found: f"password-of-{found[1].lower()}", users.config())
    started = NatsServer(tmp_path / "nats", more=passwords)
    started.start()
    yield started
    started.stop()


def url_of(server: NatsServer, user: str) -> str:
    return server.url.replace("nats://", f"nats://{user}:password-of-{user}@")


@asynccontextmanager
async def connected(server: NatsServer, tmp_path: Path, room: Room) -> AsyncIterator[Bus]:
    async with connect(room_settings(server, tmp_path, bus_url=url_of(server, room.value)), room.value) as bus:
        await bus.declare_streams()
        yield bus


def kind_of(row: EventType) -> str | None:
    return KIND if row.message is GenerationRequested else None


def subject_of_row(row: EventType) -> str:
    return f"{row.subject}.{KIND}.r1" if row.message is GenerationRequested else f"{row.subject}.r1"


async def stored(bus: Bus, stream: Stream, subject: str) -> int:
    async with aclosing(scan(bus, stream, [subject])) as messages:
        return len([message async for message in messages])


@pytest.mark.parametrize("room", ROOMS)
async def test_a_room_says_and_takes_what_the_catalogue_gives_it(server: NatsServer, tmp_path: Path, room: Room) -> None:
    async with connected(server, tmp_path, Room.CLI) as console, connected(server, tmp_path, room) as bus:
        for row in CATALOGUE:
            if room in row.to:
                durable = await bus.declare_consumer(room.value, row, kind_of(row))
                await console.publish(subject_of_row(row), b"said", {})
                taken = await bus.js.pull_subscribe_bind(consumer=durable, stream=row.stream.value)
                (message,) = await taken.fetch(1, timeout=5)
                await message.ack_sync(timeout=5)
                await bus.publish(f"dead.{subject_of_row(row)}", b"died", {})
            if room in row.by:
                await bus.publish(subject_of_row(row), b"said", {})
                # As the runtime does, to find what a crash kept unsaid.
                assert await stored(bus, row.stream, subject_of_row(row)) == 1
        for name, (writers, readers) in users.BUCKETS.items():
            if room in (*writers, *readers):
                bucket = await bus.bucket(name)
                assert await bucket.keys() == []
                assert await bucket.get("key") is None
                if room in writers:
                    await bucket.put("key", b"value")
                    await bucket.delete("key")


async def denied(server: NatsServer, room: Room, *subjects: str, listen: bool = False) -> list[str]:
    """Those of the subjects that the broker did not let a room publish to, or listen on."""
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error))

    client = await nats.connect(url_of(server, room.value), error_cb=note)
    try:
        for subject in subjects:
            await (client.subscribe(subject) if listen else client.publish(subject, b"forged"))
        # Nobody may say this: its refusal comes after all others.
        await client.publish("the.end")
        await until(lambda: any("the.end" in error for error in errors))
    finally:
        await client.close()
    # The client library lowers the letters of what the broker says.
    return [subject for subject in subjects if any(f'"{subject.lower()}"' in error for error in errors)]


@pytest.mark.parametrize("room", ROOMS)
async def test_a_room_does_nothing_of_anothers(server: NatsServer, tmp_path: Path, room: Room) -> None:
    others = [(row, other) for row in CATALOGUE for other in row.to if other is not room and row.message is not GenerationRequested]
    consumers = [f"{row.stream.value}.{durable_name(other, row)}" for row, other in others]
    foreign = [
        *(subject_of_row(row) for row in CATALOGUE if room not in row.by),
        *(f"$JS.API.CONSUMER.{verb}.{name}" for name in consumers for verb in ("CREATE", "DURABLE.CREATE", "MSG.NEXT", "DELETE")),
        *(f"$JS.ACK.{name}.1.2.3.4.5" for name in consumers),
        *(f"$JS.API.STREAM.{verb}.{stream.value}" for stream in Stream for verb in ("DELETE", "PURGE", "MSG.DELETE")),
        *(f"$KV.{name}.key" for name, (writers, _) in users.BUCKETS.items() if room not in writers),
    ]
    async with connected(server, tmp_path, Room.CLI) as console:
        assert await denied(server, room, *foreign) == foreign
        for stream in Stream:
            assert (await console.js.stream_info(stream.value)).state.messages == 0
    inboxes = [f"_INBOX.{other.value}.>" for other in Room if other is not room]
    heard = [*inboxes, "_INBOX.>", ">", "model.updated.>", "$JS.ACK.>"]
    assert await denied(server, room, *heard, listen=True) == heard
    assert await denied(server, room, users.inbox(room), listen=True) == []


async def test_a_room_lives_and_refuses_an_event_as_its_own_user_and_the_console_replays_it(server: NatsServer, tmp_path: Path) -> None:
    seen: list[Event] = []

    async def handle(event: Event, _: Delivery) -> list[Event]:
        seen.append(event)
        if len(seen) == 1:
            raise Rejected("not today")
        return []

    settings = room_settings(server, tmp_path, bus_url=url_of(server, "evaluator"))
    async with connected(server, tmp_path, Room.CLI) as console, living_room(settings, {ModelUpdated: handle}):
        await start_run(console, "r1")
        await eventually(lambda: list_dead(console))
        (letter,) = await list_dead(console)
        await replay_dead(console, letter.sequence)
        await settled(console)
        assert len(seen) == 2
        assert [one.room for one in await present(console)] == ["evaluator"]


def test_the_broker_accepts_its_configuration_as_it_stands() -> None:
    passwords = {f"NATS_{room.value.upper()}_PASSWORD": f"password-of-{room.value}" for room in Room}
    command = [BINARY, "-t", "-c", users.FILE.with_name("compose.conf")]
    check = subprocess.run(command, env={**os.environ, **passwords}, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
