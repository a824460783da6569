"""Wrong input from the world around a room: it says what to do as its last words, with exit code 2, and shows no secret."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.bus import Bus, connect
from shared.catalogue import Room
from shared.errors import BadConfiguration, Retryable
from shared.history import follow
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.integration.child_room import child, exit_of
from tests.rooms import serving, start_run
from tests.settings import room_settings

SECRET = "s3cret"


def users(password: str = SECRET, permissions: str = "", jetstream: str = "enabled") -> str:
    """An account with one user, as it stands in the broker's configuration."""
    user = f'{{ user: quality, password: "{password}", permissions: {{ {permissions} }} }}'
    return f"accounts {{ A {{ jetstream: {jetstream}, users: [ {user} ] }} }}"


@contextmanager
def guarded_broker(directory: Path, more: str) -> Iterator[NatsServer]:
    server = NatsServer(directory, more=more)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def as_user(server: NatsServer, user: str) -> dict[str, object]:
    return {"bus_url": f"nats://{user}@127.0.0.1:{server.port}" if user else server.url}


def last_words(errors: str) -> str:
    """The last line of a room's log, which is JSON."""
    return str(json.loads(errors.splitlines()[-1])["event"])


LOGINS = {
    "wrong password": ("quality:guessed", "", "refuses user 'quality': check user and password in SPIRAL_BUS_URL"),
    "unknown user": (f"nobody:{SECRET}", "", "refuses user 'nobody'"),
    "no user": ("", "", "write SPIRAL_BUS_URL as nats://USER:PASSWORD@host:port"),
    "a token": (SECRET, "", "write SPIRAL_BUS_URL as nats://USER:PASSWORD@host:port"),
    "no answers": (f"quality:{SECRET}", 'subscribe: { deny: ["_INBOX.>"] }', "does not allow user 'quality' to subscribe to \"_inbox."),
    "no stream": (f"quality:{SECRET}", 'publish: { deny: ["$JS.API.STREAM.>"] }', 'publish to "$js.api.stream.info.spiral_control"'),
}


@pytest.mark.parametrize(("user", "permissions", "words"), LOGINS.values(), ids=LOGINS)
async def test_a_broker_that_refuses_us_says_so_within_seconds(tmp_path: Path, user: str, permissions: str, words: str) -> None:
    with guarded_broker(tmp_path / "nats", users(permissions=permissions)) as server:
        settings = room_settings(server, tmp_path, start_timeout_s=60.0, **as_user(server, user))
        with pytest.raises(BadConfiguration) as caught:
            async with asyncio.timeout(15), connect(settings, "test") as bus:
                await bus.declare_streams()
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "guessed" not in str(caught.value)


async def test_an_account_without_jetstream_is_refused(tmp_path: Path) -> None:
    with (
        guarded_broker(tmp_path / "nats", users(jetstream="disabled")) as server,
        pytest.raises(BadConfiguration, match="enable JetStream for this user's account"),
    ):
        async with connect(room_settings(server, tmp_path, **as_user(server, f"quality:{SECRET}")), "test"):
            pass


async def test_a_subject_that_is_not_allowed_is_named_and_does_not_hang(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with guarded_broker(tmp_path / "nats", users(permissions='publish: { deny: ["model.updated.>"] }')) as server:
        settings = room_settings(server, tmp_path, publish_timeout_s=60.0, **as_user(server, f"quality:{SECRET}"))
        with pytest.raises(BadConfiguration, match=r"user 'quality' to publish to \"model.updated.r1\""):
            async with asyncio.timeout(15), connect(settings, "test") as bus:
                await bus.declare_streams()
                with pytest.raises(Retryable, match="not published, the broker does not allow"):
                    await bus.publish("model.updated.r1", b"x", {"Nats-Msg-Id": "a"})
                await start_run(bus, "r1")


@pytest.mark.parametrize("is_restarted", [False, True], ids=["reload", "restart"])
async def test_a_password_that_changes_ends_the_room_with_the_reason(tmp_path: Path, is_restarted: bool) -> None:
    with guarded_broker(tmp_path / "nats", users()) as server:
        settings = room_settings(server, tmp_path, **as_user(server, f"quality:{SECRET}"))
        with child(settings) as room:
            async with connect(settings, "watch") as bus:
                await bus.declare_streams()
                await serving(bus, Room.EVALUATOR)
                await start_run(bus, "r1")
                events = follow(bus, "r1")
                await anext(events)
                await anext(events)
                following = asyncio.create_task(anext(events))
                if is_restarted:
                    server.stop()
                server.configure(users("another"))
                if is_restarted:
                    server.start()
                code, errors = await exit_of(room)
                with pytest.raises(BadConfiguration, match="refuses user 'quality'"):
                    await asyncio.wait_for(following, 15)
    assert code == 2, errors
    assert "refuses user 'quality': check user and password in SPIRAL_BUS_URL" in last_words(errors)
    assert SECRET not in errors


def occupied(_: Path) -> Iterator[dict[str, object]]:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        yield {"metrics_port": listener.getsockname()[1]}


def below_a_file(directory: Path) -> Iterator[dict[str, object]]:
    (directory / "file").write_bytes(b"")
    yield {"work_dir": directory / "file" / "work"}


START = {
    "metrics port": (occupied, "set SPIRAL_METRICS_PORT to another"),
    "work dir": (below_a_file, "name a writable directory in SPIRAL_WORK_DIR"),
    "settings": (lambda _: iter([{"grace_s": "soon"}]), "SPIRAL_GRACE_S"),
    "bus url": (lambda _: iter([{"bus_url": f"nats://evaluator:top/{SECRET}@127.0.0.1:4222"}]), "a password without /"),
    "credentials": (lambda _: iter([{"bus_credentials": "/no/such.creds"}]), "SPIRAL_BUS_CREDENTIALS"),
    "library": (lambda _: iter([{"library": "no_such_torch"}]), "not to be had here: No module named 'no_such_torch'"),
    "bucket": (lambda _: iter([{"store_url": f"s3://KEY:{SECRET}@127.0.0.1:9/No_Bucket!"}]), "SPIRAL_STORE_URL"),
}


@pytest.mark.parametrize(("trouble", "words"), START.values(), ids=START)
async def test_a_room_that_cannot_start_ends_with_one_line_that_says_why(
    bus: Bus, settings: RoomSettings, tmp_path: Path, trouble: Callable[[Path], Iterator[dict[str, object]]], words: str
) -> None:
    troubles = trouble(tmp_path)
    with child(settings, **next(troubles)) as room:
        code, errors = await exit_of(room)
    assert code == 2, errors
    assert words in last_words(errors)
    assert SECRET not in errors
    assert list(troubles) == []
