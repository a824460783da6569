"""A connection to a running stack: broker, runs and artifacts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.js.errors import APIError
from pydantic import ValidationError

from shared.artifacts import Artifacts
from shared.bus import UNAVAILABLE, Bus, connect
from shared.catalogue import Room, Stream
from shared.errors import BadConfiguration, Retryable
from shared.registry import GeneratorRegistry
from shared.runs import BusRuns
from shared.settings import RoomSettings
from shared.store import open_store


@dataclass(frozen=True, slots=True)
class Target:
    """Which stack to talk to."""

    bus_url: str
    store_url: str
    state_dir: Path


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection."""

    bus: Bus
    runs: BusRuns
    artifacts: Artifacts
    generators: GeneratorRegistry

    async def num_dead_letters(self) -> int:
        """How many events no room could handle.

        Raises:
            Retryable: the broker is away.
        """
        try:
            return (await self.bus.js.stream_info(Stream.DEAD.value)).state.messages
        except (*UNAVAILABLE, APIError) as error:
            raise Retryable(f"dead letters can't be counted: {error!r}") from error


@asynccontextmanager
async def open_session(target: Target, *, start_timeout_s: float = 5.0) -> AsyncIterator[Session]:
    """Connects to broker and store.

    Raises:
        Retryable: one of them does not answer in time.
        BadConfiguration: an address is wrong.
    """
    try:
        settings = RoomSettings(
            bus_url=target.bus_url,
            store_url=target.store_url,
            work_dir=target.state_dir / "work" / "cli",
            start_timeout_s=start_timeout_s,
        )
    except ValidationError as error:
        # Values are left out: a URL may hold a password.
        faults = "; ".join(f"{problem['loc'][0]} {problem['msg']}" for problem in error.errors(include_url=False, include_input=False))
        raise BadConfiguration(f"wrong address: {faults}") from None
    async with connect(settings, "cli") as bus, open_store(settings) as store:
        await bus.declare_streams()
        yield Session(
            bus=bus,
            runs=BusRuns(bus),
            artifacts=Artifacts(store, cache_dir=settings.work_dir / "cache", producer=Room.CLI.value),
            generators=GeneratorRegistry(bus.bucket),
        )
