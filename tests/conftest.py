"""What all tests share: a real broker, and rooms that run in the test's own process."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from shared.bus import Bus, connect
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.settings import room_settings

# As rooms run. Numpy reads it when a test module loads it; threads that share a busy core make small products ten times as slow.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# How long an example takes depends on what else the machine does; what is slow is measured in benchmarks.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _logs_as_they_are() -> None:
    """A command that ran in an earlier test may have silenced the log of this process."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A fresh broker of the test's own: its streams are empty, and it may be stopped."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(nats_server: NatsServer, tmp_path: Path) -> RoomSettings:
    """Settings of a room on the test's own broker, with short waits."""
    return room_settings(nats_server, tmp_path)


@pytest.fixture
async def bus(settings: RoomSettings) -> AsyncIterator[Bus]:
    """An operator's connection to the test's own broker, with all streams declared."""
    async with connect(settings, "test") as opened:
        await opened.declare_streams()
        yield opened
