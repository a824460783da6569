"""Full disks: what is under way waits and says which disk it waits for; nothing half-written stays, and freed space is all it takes."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.trainer.child_process import TrainingProcess
from services.trainer.job import SampleFile
from shared.bus import Bus, connect
from shared.dead_letters import list_dead
from shared.errors import OutOfSpace, Retryable
from shared.events import Event, ModelUpdated
from shared.ports import Delivery
from shared.service import Ports
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.examples import CAUSE, evaluation_completed
from tests.rooms import living_room, said, settled, start_run
from tests.settings import room_settings
from tests.unit.trainer.test_job import job

PAYLOAD = os.urandom(600_000)
MAX_DELIVERIES = 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"*** no small disk can be mounted here, a full one is NOT tested: {mounted.stderr.strip()} ***")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(disk: Path) -> Path:
    """Leaves too little for the payload."""
    filler = disk / "filler"
    filler.write_bytes(bytes(700_000))
    return filler


def fill_up(disk: Path) -> None:
    """Leaves nothing."""
    with (disk / "rest").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


class Waiting:
    """Reads what rooms of this process say, until they have waited for space often enough to be out of deliveries."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.text = ""

    async def often(self) -> str:
        deadline = asyncio.get_running_loop().time() + 30
        while self.text.count("no space left, the event waits for some") <= MAX_DELIVERIES:
            assert asyncio.get_running_loop().time() < deadline, self.text
            await asyncio.sleep(0.05)
            self.text += self._capfd.readouterr().out
        return self.text


@pytest.fixture
def waiting(capfd: pytest.CaptureFixture[str]) -> Waiting:
    return Waiting(capfd)


def impatient(server: NatsServer, directory: Path, **changes: object) -> RoomSettings:
    return room_settings(server, directory, max_deliver=MAX_DELIVERIES, max_deliver_retryable=MAX_DELIVERIES, **changes)


@asynccontextmanager
async def at_work(settings: RoomSettings, work: Callable[[Ports], Awaitable[object]]) -> AsyncIterator[asyncio.Event]:
    """A room that does some work for each event once it may, and answers with what follows."""
    may_begin, room_ports = asyncio.Event(), list[Ports]()

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> Sequence[Event]:
        await may_begin.wait()
        await work(room_ports[0])
        return [evaluation_completed(event.run_id)]

    async with living_room(settings, {ModelUpdated: on_model_updated}) as room:
        room_ports.append(room.ports)
        yield may_begin


async def test_a_full_object_store_is_waited_for(bus: Bus, nats_server: NatsServer, tmp_path: Path, disk: Path, waiting: Waiting) -> None:
    settings = impatient(nats_server, tmp_path, store_url=f"file://{disk}/objects")

    async def store(ports: Ports) -> None:
        await ports.artifacts.commit("runs/r1/0/evaluation", {"answers": await ports.artifacts.put_bytes(PAYLOAD)}, cause=CAUSE)

    async with at_work(settings, store) as may_begin:
        filler = fill(disk)
        await start_run(bus, "r1")
        may_begin.set()
        assert f"the disk that holds {disk}/objects" in await waiting.often()
        files = {path.name for path in (disk / "objects").rglob("*") if path.is_file()}
        filler.unlink()
        assert (await said(bus, "r1", 2))[1] == evaluation_completed("r1")
        await settled(bus)
    assert files == set(), "neither a manifest nor a torn file"
    assert (disk / "objects" / "manifests" / "runs" / "r1" / "0" / "evaluation.json").is_file()
    assert await list_dead(bus) == []


async def fetch(ports: Ports, _: Path) -> None:
    blob = await ports.artifacts.put_bytes(PAYLOAD)
    ref = await ports.artifacts.commit("runs/r1/base", {"model": blob}, cause=CAUSE)
    assert (await ports.artifacts.fetch_directory(ref) / "model").read_bytes() == PAYLOAD


async def scribble(_: Ports, work_dir: Path) -> None:
    """As a library does, which knows nothing of our errors."""
    (work_dir / "scratch").write_bytes(PAYLOAD)


@pytest.mark.parametrize(("work", "words"), [(fetch, "work/cache/blobs is full"), (scribble, "No space left on device")])
async def test_a_full_work_directory_is_waited_for(
    bus: Bus,
    nats_server: NatsServer,
    tmp_path: Path,
    disk: Path,
    waiting: Waiting,
    work: Callable[[Ports, Path], Awaitable[None]],
    words: str,
) -> None:
    settings = impatient(nats_server, tmp_path, work_dir=disk / "work")
    async with at_work(settings, lambda ports: work(ports, disk / "work")) as may_begin:
        filler = fill(disk)
        await start_run(bus, "r1")
        may_begin.set()
        assert words in await waiting.often()
        left = {path.name for path in (disk / "work" / "cache").rglob("*") if path.is_file()}
        filler.unlink()
        assert (await said(bus, "r1", 2))[1] == evaluation_completed("r1")
        await settled(bus)
    assert left == set()
    assert await list_dead(bus) == []


async def test_a_training_that_fills_its_disk_waits_for_space(disk: Path, tmp_path: Path) -> None:
    # A directory in place of a file: the process ends with a traceback, as it does where a checkpoint finds no room.
    dataset = (SampleFile(path=tmp_path, name="samples.parquet"),)
    training = TrainingProcess(job(directory=disk / "run-1", dataset_files=dataset), stop_grace_s=1.0)
    with pytest.raises(OutOfSpace, match=f"the disk that holds {disk}/run-1 is full"):
        async for _ in training.reports():
            pass
    roomy = TrainingProcess(job(directory=tmp_path / "run-1", dataset_files=dataset), stop_grace_s=1.0)
    with pytest.raises(Retryable, match="IsADirectoryError"):
        async for _ in roomy.reports():
            pass


async def test_a_full_broker_is_waited_for(tmp_path: Path, waiting: Waiting) -> None:
    limit = f'jetstream {{ store_dir: "{tmp_path}/store", max_file_store: 2MB, sync_interval: always }}'
    server = NatsServer(tmp_path / "nats", has_jetstream=False, more=limit)
    server.start()
    try:
        settings = impatient(server, tmp_path, publish_timeout_s=0.2)
        async with connect(settings, "test") as bus:
            await bus.declare_streams()

            async def nothing(_: Ports) -> None:
                return

            async with at_work(settings, nothing) as may_begin:
                await start_run(bus, "r1")
                await bus.js.add_stream(name="FILLER", subjects=["filler"])
                with pytest.raises(OutOfSpace, match="storage is full"):
                    while True:
                        await bus.publish("filler", bytes(100_000), {})
                may_begin.set()
                assert "give JetStream more (max_file_store)" in await waiting.often()
                await bus.js.purge_stream("FILLER")
                assert (await said(bus, "r1", 2))[1] == evaluation_completed("r1")
                await settled(bus)
            assert await list_dead(bus) == []
    finally:
        server.stop()


async def test_a_broker_whose_disk_is_full_is_named_and_goes_on_after_its_restart(tmp_path: Path, disk: Path) -> None:
    where = f'jetstream {{ store_dir: "{disk}/store", max_file_store: 1GB, sync_interval: always }}'
    server = NatsServer(tmp_path / "nats", has_jetstream=False, more=where)
    server.start()
    try:
        async with connect(impatient(server, tmp_path, publish_timeout_s=0.2), "test") as bus:
            await bus.declare_streams()
            fill_up(disk)
            with pytest.raises(OutOfSpace, match="Is the broker's disk full"):
                await bus.publish("model.updated.r1", bytes(50_000), {"Nats-Msg-Id": "a"})
            (disk / "rest").unlink()
            server.stop()
            server.start()
            await bus.publish("model.updated.r1", bytes(50_000), {"Nats-Msg-Id": "a"})
            assert (await bus.js.stream_info("SPIRAL_CONTROL")).state.messages == 1
    finally:
        server.stop()
