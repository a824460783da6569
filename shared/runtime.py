"""The life of a room: settings, connections, build, gRPC, reconciliation, consuming, draining, exit code."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import grpc.aio

from shared.artifacts import Artifacts
from shared.bus import Bus, connect
from shared.cancellation import end
from shared.catalogue import BY_MESSAGE, CATALOGUE, EventType, Room
from shared.delivery import Deliveries, Tools
from shared.errors import BadConfiguration, Retryable, SpiralError
from shared.events import GenerationRequested
from shared.presence import RoomPresence
from shared.publisher import Publisher
from shared.registry import GeneratorRegistry
from shared.rpc import RpcServer, open_channel
from shared.run_watch import say_what_stands, watch_runs
from shared.runs import BusRuns
from shared.service import Build, Handler, Keyed, Ports, S, Service, Servicer
from shared.settings import RoomSettings, load
from shared.store import ObjectStore, open_store
from shared.telemetry import Metrics, Tracing, configure_logs, log

__all__ = ["Build", "Handler", "Keyed", "Ports", "Service", "Servicer", "main", "run"]

_FATAL, _MISCONFIGURED = 1, 2
_LAST_RESORT_S = 3.0


def main(room: Room, settings_type: type[S], build: Build[S]) -> None:
    """Runs a room until SIGTERM or SIGINT; exits 0 after a drain, 1 on a fatal error, 2 on a wrong setting."""
    try:
        settings = load(settings_type)
    except BadConfiguration as error:
        configure_logs(room.value, "", level="error", is_json=True)
        log.error(str(error))
        raise SystemExit(_MISCONFIGURED) from None
    configure_logs(room.value, settings.instance_id, level=settings.log_level, is_json=settings.log_format == "json")
    with asyncio.Runner() as runner:
        code = runner.run(_run_until_signal(room, settings, build))
        # A handler that was cancelled may leave a thread at work (say, in torch) that an orderly exit would wait for.
        last_resort = threading.Timer(_LAST_RESORT_S, os._exit, (code,))
        last_resort.daemon = True
        last_resort.start()
    raise SystemExit(code)


async def _run_until_signal(room: Room, settings: S, build: Build[S]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await run(room, settings, build, stop)


async def run(room: Room, settings: S, build: Build[S], stop: asyncio.Event) -> int:
    """Runs a room until `stop` is set, and returns its exit code."""
    try:
        await _live(room, settings, build, stop)
    except BadConfiguration as error:
        log.error(str(error))
        return _MISCONFIGURED
    except SpiralError as error:
        log.error(str(error))
        return _FATAL
    except ImportError as error:
        log.error(
            f"this room needs a library that is not to be had here: {error}. Use the room's own image, or `make setup`", exc_info=error
        )
        return _MISCONFIGURED
    except Exception as error:
        log.critical("fatal error", exc_info=error)
        return _FATAL
    log.info("drained, goodbye")
    return 0


async def _live(room: Room, settings: S, build: Build[S], stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    fatal: asyncio.Future[None] = loop.create_future()

    def fail(error: Exception) -> None:
        if not fatal.done():
            fatal.set_exception(error)

    async with AsyncExitStack() as stack:
        settings.prepare_work_dir()
        metrics = Metrics()
        if settings.metrics_port is not None:
            metrics.serve(settings.metrics_port)
        tracing = Tracing(room.value, settings.traces_exporter)
        stack.callback(tracing.close)
        # Whoever waits for the outcome of a start or a life takes the error; nobody else must be told of it.
        stack.callback(lambda: fatal.done() and fatal.exception())

        bus = await stack.enter_async_context(connect(settings, f"{room.value}-{settings.instance_id}"))
        await _patiently(bus.declare_streams, settings)
        store = await _open_store(stack, settings)
        presence = RoomPresence(bus, room, settings.instance_id)
        runs = BusRuns(bus)
        publisher = Publisher(bus, runs)
        await _patiently(presence.say, settings)
        stack.push_async_callback(presence.leave)

        ports = Ports(
            runs=runs,
            artifacts=Artifacts(store, producer=room.value, cache_dir=settings.work_dir / "cache"),
            activity=presence,
            instance_id=settings.instance_id,
            bucket=bus.bucket,
            channel=_Channels(settings, stack).channel,
            generators=GeneratorRegistry(bus.bucket),
            drain=stop.set,
            grpc_address=lambda: presence.grpc_address,
        )
        service = await stack.enter_async_context(build(ports, settings))
        rows = [] if service.is_idle else _rows_of(room, service)

        server = RpcServer(service.servicers, host=settings.grpc_host, port=settings.grpc_port, deadline_s=settings.grpc_deadline_s)
        port = await server.start()
        stack.push_async_callback(server.stop, 0)
        presence.describe(state="starting", kind=service.kind, grpc_address=f"{settings.reachable_host}:{port}")
        if service.reconcile is not None:
            await say_what_stands(room, service.reconcile, bus, runs, publisher, tracing)

        tools = Tools(room, bus, runs, publisher, settings, metrics, tracing, fail)
        deliveries = [Deliveries(tools, row, await bus.declare_consumer(room.value, row, service.kind), handler) for row, handler in rows]
        for delivery in deliveries:
            await delivery.start()
        presence.describe(state="serving")
        await server.report(is_serving=True)
        log.info("serving", grpc_address=presence.grpc_address, consumes=[row.subject for row, _ in rows])

        works = [presence.beat, *service.background]
        if service.watch is not None:
            works.append(partial(watch_runs, room, service.watch, runs, publisher, tracing))
        background = [asyncio.create_task(_lasting(work)) for work in works]
        try:
            await _until(stop, fatal, bus, background)
        finally:
            log.info("draining", grace_s=settings.grace_s)
            presence.describe(state="draining")
            await _on_drain(service)
            await server.report(is_serving=False)
            await asyncio.gather(*(delivery.drain(settings.grace_s) for delivery in deliveries))
            await end(background)
            await server.stop(min(settings.grace_s, 2.0))


async def _until(stop: asyncio.Event, fatal: asyncio.Future[None], bus: Bus, background: list[asyncio.Task[None]]) -> None:
    """Returns when the room is asked to stop; raises what makes it go on no longer."""
    stopping = asyncio.create_task(stop.wait())
    watched: set[asyncio.Future[object]] = {stopping, fatal, bus.closed, *background}  # type: ignore[arg-type]
    try:
        while not stopping.done():
            done, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for future in done - {stopping}:
                if future is bus.closed:
                    raise bus.closed.result()
                future.result()
    finally:
        stopping.cancel()


async def _on_drain(service: Service) -> None:
    if service.on_drain is None:
        return
    try:
        async with asyncio.timeout(_LAST_RESORT_S):
            await service.on_drain()
    except (Retryable, TimeoutError) as error:
        log.warning("nobody hears that this room drains", reason=str(error))


async def _lasting(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def _rows_of(room: Room, service: Service) -> list[tuple[EventType, Handler]]:
    wanted = {row.message for row in CATALOGUE if room in row.to}
    if set(service.handlers) != wanted:
        differing = sorted(message.__name__ for message in set(service.handlers) ^ wanted)
        raise TypeError(f"the {room.value}'s handlers differ from the catalogue in {differing}")
    if (GenerationRequested in wanted) != (service.kind is not None):
        raise TypeError("a room that takes leases names its kind, and no other does")
    return [(BY_MESSAGE[message], handler) for message, handler in service.handlers.items()]


async def _open_store(stack: AsyncExitStack, settings: RoomSettings) -> ObjectStore:
    opened: list[ObjectStore] = []

    async def attempt() -> None:
        opened.append(await stack.enter_async_context(open_store(settings)))

    await _patiently(attempt, settings)
    return opened[0]


async def _patiently(start: Callable[[], Awaitable[None]], settings: RoomSettings) -> None:
    """Tries until it succeeds or the start-up time is over; then the last reason is raised."""
    deadline = asyncio.get_running_loop().time() + settings.start_timeout_s
    while True:
        try:
            return await start()
        except Retryable as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            log.warning("not ready yet, trying again", reason=str(error))
            await asyncio.sleep(0.5)


class _Channels:
    """One channel to each other room, closed with the room."""

    def __init__(self, settings: RoomSettings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._open: dict[Room, grpc.aio.Channel] = {}

    def channel(self, room: Room) -> grpc.aio.Channel:
        """A channel to a room at its address in the settings.

        Raises:
            BadConfiguration: its address is not set.
        """
        if room not in self._open:
            self._open[room] = open_channel(self._settings.address(room))
            self._stack.push_async_callback(self._open[room].close, None)
        return self._open[room]
