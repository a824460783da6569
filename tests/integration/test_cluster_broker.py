"""The broker of the cluster: three real servers under the configuration and the users that Kubernetes gives them."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TypeVar

import pytest

from shared.bus import Bus, connect
from shared.catalogue import Room, Stream
from shared.dead_letters import list_dead
from shared.errors import BadConfiguration, Retryable
from shared.events import EvaluationCompleted, Event, ModelUpdated
from shared.history import follow, scan
from shared.ports import Cause, Delivery, compare_and_set
from shared.publisher import publish_event
from shared.runs import BusRuns
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.examples import evaluation_completed, model_updated, run_spec
from tests.rooms import eventually, living_room, serving, settled, until
from tests.settings import room_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
BINARY = Path(sys.executable).parent / "nats-server"
NUM_EVENTS = 60

T = TypeVar("T")


class Cluster:
    """Three servers on loopback, as `deploy/kubernetes` configures them; each may be killed and started again."""

    def __init__(self, directory: Path, *, is_advertised: bool = False) -> None:
        directory.mkdir()
        config = (DEPLOY / "kubernetes" / "base" / "nats.conf").read_text()
        if is_advertised:
            config = config.replace("no_advertise: true", "no_advertise: false")
        (directory / "nats.conf").write_text(config)
        shutil.copy(DEPLOY / "nats" / "users.conf", directory)
        self._directory = directory
        with ExitStack() as held:
            # Held together, so that no port is given twice.
            sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(9)]
            ports = [one.getsockname()[1] for one in sockets]
        self._ports, self._route_ports, self._monitoring_ports = ports[:3], ports[3:6], ports[6:]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.names = [f"nats-{index}" for index in range(3)]

    def url(self, user: str) -> str:
        """What a room has as SPIRAL_BUS_URL."""
        return ",".join(f"nats://{user}:password-of-{user}@127.0.0.1:{port}" for port in self._ports)

    def start(self, name: str) -> None:
        index = self.names.index(name)
        environment = {
            **os.environ,
            "NATS_SERVER_NAME": name,
            "NATS_STORE_DIR": str(self._directory / name),
            "NATS_ROUTE_PASSWORD": "password-of-route",
            **{f"NATS_{room.name}_PASSWORD": f"password-of-{room.value}" for room in Room},
            **{f"NATS_ROUTE_{i}": f"nats-route://route:password-of-route@127.0.0.1:{port}" for i, port in enumerate(self._route_ports)},
        }
        places = ["-a", "127.0.0.1", "-p", str(self._ports[index]), "-m", str(self._monitoring_ports[index])]
        route = f"nats://route:password-of-route@127.0.0.1:{self._route_ports[index]}"
        command = [str(BINARY), "-c", str(self._directory / "nats.conf"), *places, "--cluster", route]
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def start_all(self) -> None:
        """Starts the servers and returns once each follows the same leader."""
        for name in self.names:
            self.start(name)
        deadline = time.monotonic() + 20
        while not all(self._is_healthy(port) for port in self._monitoring_ports):
            assert time.monotonic() < deadline, "".join(log.read_text() for log in self._directory.glob("*.log"))
            time.sleep(0.05)

    def _is_healthy(self, port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def led(self, stream: str, consumer: str) -> int:
        """How many servers say, as KEDA asks it, that they lead a consumer of the account $G."""
        num_leaders = 0
        for name, port in zip(self.names, self._monitoring_ports, strict=True):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/jsz?acc=$G&consumers=true&config=true", timeout=5) as answer:
                accounts = json.load(answer)["account_details"]
            found = [
                one
                for account in accounts
                for held in account["stream_detail"]
                for one in held.get("consumer_detail") or ()
                if (account["name"], held["name"], one["name"]) == ("$G", stream, consumer)
            ]
            num_leaders += sum(one.get("cluster", {}).get("leader") == name for one in found)
        return num_leaders

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(timeout=20)

    def stop(self) -> None:
        for name in list(self._processes):
            self.kill(name)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster")
    try:
        cluster.start_all()
        yield cluster
    finally:
        cluster.stop()


def settings_of(cluster: Cluster, directory: Path, user: str, **changes: object) -> RoomSettings:
    server = NatsServer(directory / "unused")
    changes = {"bus_url": cluster.url(user), "bus_replicas": 3, "start_timeout_s": 30.0, "publish_timeout_s": 20.0, **changes}
    return room_settings(server, directory, **changes)


@pytest.fixture
async def operator(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Bus]:
    async with connect(settings_of(cluster, tmp_path, "cli"), "operator") as bus:
        await patiently(bus.declare_streams)
        yield bus


async def patiently(attempt: Callable[[], Awaitable[T]], timeout_s: float = 25.0) -> T:
    """What an attempt returns once it is not told to try again later: as the runtime does while leaders are elected."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                return await attempt()
            except Retryable:
                await asyncio.sleep(0.1)


async def subjects_of(bus: Bus, subject: str) -> list[str]:
    return [message.subject async for message in scan(bus, Stream.CONTROL, [subject])]


async def test_nothing_is_lost_and_nothing_counts_twice_when_the_leader_dies(cluster: Cluster, operator: Bus, tmp_path: Path) -> None:
    handled: list[int] = []
    written: list[int] = []
    watched: list[int] = []

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        handled.append(event.iteration)
        return [evaluation_completed(event.run_id, event.iteration)]

    async def say_all() -> None:
        for number in range(NUM_EVENTS):
            await publish_event(operator, Room.CLI, Cause(f"event-{number}", 1), model_updated("r1", number))

    async def write_all() -> None:
        for number in range(NUM_EVENTS):

            async def add(value: bytes | None, number: int = number) -> tuple[bytes | None, None]:
                numbers = (value or b"").split()
                return (None if b"%d" % number in numbers else b" ".join([*numbers, b"%d" % number])), None

            await patiently(lambda add=add: compare_and_set(ledgers, "numbers", add))
            written.append(number)

    async def watch_all() -> None:
        async with aclosing(follow(operator, "r1")) as following:
            async for _, event, _ in following:
                if isinstance(event, EvaluationCompleted):
                    watched.append(event.iteration)
                if len(watched) == NUM_EVENTS:
                    return

    ledgers = await operator.bucket("ledgers")
    await BusRuns(operator).create(run_spec("r1"))
    async with living_room(settings_of(cluster, tmp_path, "evaluator"), {ModelUpdated: on_model_updated}) as living:
        await serving(operator, Room.EVALUATOR)
        # KEDA looks for the server that leads the consumer.
        await until(lambda: cluster.led("SPIRAL_CONTROL", "evaluator_model-updated") == 1)
        leader = (await operator.js.stream_info(Stream.CONTROL.value)).cluster.leader
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(say_all())
            tasks.create_task(write_all())
            watching = tasks.create_task(watch_all())
            await until(lambda: len(handled) > NUM_EVENTS // 6 and len(written) > NUM_EVENTS // 6)
            cluster.kill(leader)
            await until(lambda: set(handled) == set(range(NUM_EVENTS)), 25)
            cluster.start(leader)
            # Readers whose server died wait out a request or two before they read again.
            await asyncio.wait_for(watching, 60)
        await settled(operator)
        assert not living.task.done(), "the room stays"

    async def has_three_copies_again() -> bool:
        info = await operator.js.stream_info(Stream.CONTROL.value)
        return len(info.cluster.replicas) == 2 and all(peer.current for peer in info.cluster.replicas)

    await eventually(has_three_copies_again)
    assert len(await patiently(lambda: subjects_of(operator, "evaluation.completed.>"))) == NUM_EVENTS
    assert sorted(watched) == list(range(NUM_EVENTS))
    assert await patiently(lambda: list_dead(operator)) == []
    entry = await patiently(lambda: ledgers.get("numbers"))
    assert entry is not None
    assert [int(number) for number in entry.value.split()] == list(range(NUM_EVENTS))


async def test_rooms_that_start_at_once_make_everything_once(operator: Bus, cluster: Cluster, tmp_path: Path) -> None:
    for stream in Stream:
        await operator.js.delete_stream(stream.value)

    async def start(room: Room) -> None:
        async with connect(settings_of(cluster, tmp_path / room.value, room.value), room.value) as bus:
            await patiently(bus.declare_streams)
            await BusRuns(bus).unfinished()

    await asyncio.gather(*(start(room) for room in Room))
    for name in (*(stream.value for stream in Stream), "KV_spiral_runs"):
        assert (await operator.js.stream_info(name)).config.num_replicas == 3


async def test_copies_are_added_to_what_stands_and_never_taken_away(cluster: Cluster, tmp_path: Path) -> None:
    async def declared(user: str, num_replicas: int) -> list[int | None]:
        async with connect(settings_of(cluster, tmp_path / f"{user}-{num_replicas}", user, bus_replicas=num_replicas), user) as bus:
            await patiently(bus.declare_streams)
            await BusRuns(bus).all()
            return [(await bus.js.stream_info(name)).config.num_replicas for name in (Stream.CONTROL.value, "KV_spiral_runs")]

    assert await declared("cli", 1) == [1, 1]
    assert await declared("evaluator", 3) == [3, 3]
    assert await declared("planner", 1) == [3, 3]


async def test_three_copies_need_three_servers(nats_server: NatsServer, tmp_path: Path) -> None:
    async with connect(room_settings(nats_server, tmp_path, bus_replicas=3), "room") as bus:
        with pytest.raises(BadConfiguration, match="SPIRAL_BUS_REPLICAS=1"):
            await bus.declare_streams()
        with pytest.raises(BadConfiguration, match="SPIRAL_BUS_REPLICAS=1"):
            await bus.bucket("spiral_runs")


async def test_a_room_goes_to_a_server_that_it_was_told_of(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster", is_advertised=True)
    try:
        cluster.start_all()
        one = cluster.url("evaluator").split(",")[0]
        async with connect(settings_of(cluster, tmp_path, "evaluator", bus_url=one), "evaluator") as bus:
            await until(lambda: len(bus.client.servers) >= len(cluster.names))
            cluster.kill(cluster.names[0])
            await until(lambda: bus.client.stats["reconnects"] == 1)
            assert not bus.closed.done()
    finally:
        cluster.stop()
