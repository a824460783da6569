"""The embedded stack: real processes under one roof, and nothing of them left when it is gone."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import nats
import psutil
import pytest

from deploy.local.child import Child, ChildFailed
from deploy.local.stack import LocalStack, load_stack
from shared.errors import BadConfiguration

ROOT = Path(__file__).parents[2]


async def until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


def runs(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def a_child(directory: Path, code: str) -> Child:
    return Child("room", [sys.executable, "-c", code], environment=os.environ, directory=directory, log=directory / "logs" / "room.log")


async def a_stack_process(state_dir: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.stack_child", str(state_dir), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_events_outlive_a_stack_and_its_address_stays(tmp_path: Path) -> None:
    async with LocalStack(tmp_path / "state", rooms=()) as stack:
        url = stack.info.bus_url
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept.*"])
        await client.jetstream().publish("kept.one", b"said")
        await client.close()
    async with LocalStack(tmp_path / "state", rooms=()) as stack:
        assert stack.info.bus_url == url
        client = await nats.connect(url)
        assert (await client.jetstream().get_msg("KEPT", 1)).data == b"said"
        await client.close()


async def test_one_directory_has_one_stack_and_says_which(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    assert load_stack(state_dir) is None
    async with LocalStack(state_dir, rooms=()) as stack:
        assert load_stack(state_dir) == stack.info
        with pytest.raises(BadConfiguration, match=f"process {os.getpid()}.*another state directory"):
            async with LocalStack(state_dir, rooms=()):
                pass
        assert load_stack(state_dir) == stack.info
    assert load_stack(state_dir) is None


async def test_a_killed_stack_leaves_no_process_and_its_directory_is_free(tmp_path: Path) -> None:
    process = await a_stack_process(tmp_path / "state")
    info = load_stack(tmp_path / "state")
    assert info is not None
    assert runs(info.broker_pid)
    process.kill()
    await process.wait()
    await until(lambda: not runs(info.broker_pid))
    # A process may look ended while its last thread still lets go of its files.
    await until(lambda: load_stack(tmp_path / "state") is None)
    async with LocalStack(tmp_path / "state", rooms=()) as stack:
        assert stack.info.bus_url == info.bus_url


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
async def test_a_stack_that_is_asked_to_stop_stops_everything(tmp_path: Path, name: signal.Signals) -> None:
    process = await a_stack_process(tmp_path / "state")
    info = load_stack(tmp_path / "state")
    assert info is not None
    process.send_signal(name)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    assert not runs(info.broker_pid)


async def test_a_broker_that_is_killed_comes_back_at_its_address(tmp_path: Path) -> None:
    said: list[str] = []
    async with LocalStack(tmp_path / "state", rooms=(), announce=said.append) as stack:
        former = stack.info.broker_pid
        assert former is not None
        os.kill(former, signal.SIGKILL)
        await until(lambda: stack.info.broker_pid not in (None, former))
        client = await nats.connect(stack.info.bus_url, connect_timeout=5)
        await client.jetstream().account_info()
        await client.close()
    assert said[0].startswith("nats-server was killed by signal 9")


async def test_a_room_that_is_killed_serves_again_at_its_address(tmp_path: Path) -> None:
    async with LocalStack(tmp_path / "state", rooms=("generators.rendered",)) as stack:
        await stack.ready(60)
        (former,) = stack.info.rooms
        assert former.pid is not None
        os.kill(former.pid, signal.SIGKILL)
        await until(lambda: stack.info.rooms[0].num_restarts == 1)
        await stack.ready(60)
        (room,) = stack.info.rooms
        assert room.address == former.address
        assert load_stack(tmp_path / "state") == stack.info
    assert not runs(room.pid)


async def test_a_drained_generator_stays_gone_until_the_stack_is_started_anew(tmp_path: Path) -> None:
    said: list[str] = []
    async with LocalStack(tmp_path / "state", rooms=("generators.rendered",), announce=said.append) as stack:
        await stack.ready(60)
        well = asyncio.create_task(stack.wait())
        (former,) = stack.info.rooms
        assert former.pid is not None
        os.kill(former.pid, signal.SIGTERM)
        await until(lambda: stack.info.rooms[0].has_left, 20)
        assert load_stack(tmp_path / "state") == stack.info
        assert (stack.info.rooms[0].pid, stack.info.rooms[0].num_restarts) == (None, 0)
        await stack.ready(5)
        assert not well.done()
        well.cancel()
    assert "is not started again" in said[0]
    async with LocalStack(tmp_path / "state", rooms=("generators.rendered",)) as stack:
        assert not stack.info.rooms[0].has_left
        assert runs(stack.info.rooms[0].pid)


async def test_a_room_that_may_not_leave_comes_back_also_after_exit_code_0(tmp_path: Path) -> None:
    child = a_child(tmp_path, "import time; time.sleep(0.2)")
    await child.start()
    keeper = asyncio.create_task(child.keep_running(lambda text: None))
    await until(lambda: child.num_restarts == 1)
    keeper.cancel()
    await child.stop(5.0)
    assert not child.has_left


async def test_a_room_that_is_never_ready_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    environment = {"SPIRAL_STORE_URL": "s3://key:secret@127.0.0.1:9/bucket", "SPIRAL_START_TIMEOUT_S": "60"}
    async with LocalStack(tmp_path / "state", rooms=("generators.rendered",), environment=environment, grace_s=0.5) as stack:
        with pytest.raises(ChildFailed, match=r"generators\.rendered was not ready within 2 s"):
            await stack.ready(2)


async def test_a_command_that_keeps_failing_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = a_child(tmp_path, "raise SystemExit('the reason, in words')")
    await child.start()
    said: list[str] = []
    with pytest.raises(ChildFailed, match=r"5 times(.|\n)*the reason, in words"):
        await child.keep_running(said.append)
    assert child.num_restarts == 4


async def test_wrong_settings_are_not_tried_again(tmp_path: Path) -> None:
    child = a_child(tmp_path, "import sys; print('SPIRAL_X: wrong'); sys.exit(2)")
    await child.start()
    with pytest.raises(ChildFailed, match="SPIRAL_X: wrong"):
        await child.keep_running(lambda text: None)
    assert child.num_restarts == 0


async def test_what_a_dead_room_had_started_dies_before_its_successor_starts(tmp_path: Path) -> None:
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    child = a_child(tmp_path, code)
    await child.start()
    keeper = asyncio.create_task(child.keep_running(lambda text: None))
    await until(lambda: child.log_tail().strip() != "")
    grandchild, former = int(child.log_tail()), child.pid
    assert former is not None
    os.kill(former, signal.SIGKILL)
    await until(lambda: child.pid not in (None, former))
    assert not runs(grandchild)
    keeper.cancel()
    await child.stop(5.0)
    assert child.pid is None


async def test_a_room_that_does_not_heed_is_killed_after_the_grace(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    child = a_child(tmp_path, code)
    await child.start()
    await until(lambda: "deaf" in child.log_tail())
    pid = child.pid
    await asyncio.wait_for(child.stop(0.3), 5)
    assert not runs(pid)
