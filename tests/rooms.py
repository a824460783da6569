"""Rooms that live in the test's own process, on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from shared.bus import Bus
from shared.catalogue import Room
from shared.events import Event
from shared.history import consumer_lag, follow
from shared.presence import present
from shared.publisher import publish_event
from shared.runs import BusRuns
from shared.runtime import run
from shared.service import Handler, Ports, Service
from shared.settings import RoomSettings
from tests.examples import CAUSE, model_updated, run_spec


@dataclass
class LivingRoom:
    """A running room: its ports, and its exit code once it has ended."""

    ports: Ports
    task: asyncio.Task[int]
    stop: asyncio.Event

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.task, 20)


@asynccontextmanager
async def living_room(
    settings: RoomSettings,
    handlers: Mapping[type[Event], Handler],
    *,
    room: Room = Room.EVALUATOR,
    shape: Callable[[Service, Ports], Service] = lambda service, _: service,
) -> AsyncIterator[LivingRoom]:
    """Runs a room until the block is left; `shape` adds to its service."""
    built: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def build(ports: Ports, _: RoomSettings) -> AsyncIterator[Service]:
        built.set_result(ports)
        yield shape(Service(handlers=handlers), ports)

    stop = asyncio.Event()
    task = asyncio.create_task(run(room, settings, build, stop))
    await asyncio.wait({task, built}, return_when=asyncio.FIRST_COMPLETED)
    if not built.done():
        raise RuntimeError(f"the room ended with {task.result()} before it was built")
    living = LivingRoom(built.result(), task, stop)
    try:
        yield living
    finally:
        stop.set()
        await living.exit_code()


async def said(bus: Bus, run_id: str, count: int, timeout_s: float = 15.0) -> list[Event]:
    """The first `count` events of a run; TimeoutError when they do not come."""
    events: list[Event] = []
    async with asyncio.timeout(timeout_s):
        async with aclosing(follow(bus, run_id)) as following:
            async for _, event, _ in following:
                events.append(event)
                if len(events) == count:
                    break
    return events


async def start_run(bus: Bus, run_id: str) -> str:
    """Makes a run known and says its first event; returns that event's id."""
    await BusRuns(bus).create(run_spec(run_id))
    return await publish_event(bus, Room.CLI, replace(CAUSE, event_id=f"start-{run_id}"), model_updated(run_id))


async def eventually(condition: Callable[[], Awaitable[object]], timeout_s: float = 15.0) -> None:
    """Returns once a condition holds that only asking tells; TimeoutError when it does not come to hold."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 (the broker rings no bell)
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Returns once a condition of this process holds; TimeoutError when it does not come to hold."""

    async def holds() -> object:
        return condition()

    await eventually(holds, timeout_s)


async def serving(bus: Bus, room: Room, timeout_s: float = 15.0) -> None:
    """Returns once a room says that it serves."""

    async def is_serving() -> bool:
        return any(one.room == room.value and one.state == "serving" for one in await present(bus))

    await eventually(is_serving, timeout_s)


async def settled(bus: Bus, timeout_s: float = 15.0) -> None:
    """Returns once no event is under way."""

    async def is_quiet() -> bool:
        return not any(lag.num_pending + lag.num_in_flight for lag in await consumer_lag(bus))

    await eventually(is_quiet, timeout_s)
