"""The life of a room as a process: how it starts, what it says when it can't, how it stops, and what a crash costs."""

import asyncio
import signal
import time
import urllib.request

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.bus import Bus
from shared.catalogue import Room, Stream
from shared.history import scan
from shared.presence import Presence, present
from shared.settings import RoomSettings
from tests.broker import free_port
from tests.examples import evaluation_completed
from tests.integration.child_room import child, exit_of
from tests.rooms import eventually, said, serving, settled, start_run


async def presence_of(bus: Bus, what: str = "") -> Presence:
    """The evaluator's presence, once it serves and does what is asked for."""
    async with asyncio.timeout(20):
        while True:
            for one in await present(bus):
                if one.room == "evaluator" and one.state == "serving" and one.activity.what == what:
                    return one
            await asyncio.sleep(0.05)


async def test_sigterm_lets_the_work_in_hand_finish(bus: Bus, settings: RoomSettings) -> None:
    with child(settings, handler_s=1.5) as process:
        await serving(bus, Room.EVALUATOR)
        await start_run(bus, "r1")
        here = await presence_of(bus, "evaluating")
        assert (here.pid, here.activity.num_done, here.activity.run_id) == (process.pid, 1, "r1")
        async with grpc.aio.insecure_channel(here.grpc_address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGTERM)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            async with asyncio.timeout(5):
                async for answer in watch:
                    if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                        break
        code, _ = await exit_of(process)
    assert code == 0
    assert (await said(bus, "r1", 2))[1] == evaluation_completed("r1")
    assert await present(bus) == [], "it took its leave"


@pytest.mark.parametrize("work", ["handler_s", "thread_s"])
async def test_sigterm_hands_back_what_does_not_finish_in_the_grace_time(bus: Bus, settings: RoomSettings, work: str) -> None:
    with child(settings, grace_s=0.3, ack_wait_s=30, **{work: 60}) as process:
        await serving(bus, Room.EVALUATOR)
        await start_run(bus, "r1")
        await presence_of(bus, "evaluating")
        process.send_signal(signal.SIGTERM)
        code, _ = await exit_of(process)
    assert code == 0
    with child(settings, ack_wait_s=30):
        started = time.monotonic()
        assert (await said(bus, "r1", 2))[1] == evaluation_completed("r1")
        assert time.monotonic() - started < 15, "handed back, not waited for"


async def test_a_killed_room_loses_and_doubles_nothing(bus: Bus, settings: RoomSettings) -> None:
    with child(settings, handler_s=30):
        await serving(bus, Room.EVALUATOR)
        await start_run(bus, "r1")
        await presence_of(bus, "evaluating")
    with child(settings):
        await said(bus, "r1", 2)
        await settled(bus)
    assert len([message async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.>"])]) == 1


async def test_a_fatal_error_in_the_background_ends_the_room_with_1(bus: Bus, settings: RoomSettings) -> None:
    with child(settings, is_broken=True) as process:
        code, errors = await exit_of(process)
    assert code == 1
    assert "a planted bug in the background" in errors


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"grace_s": "soon", "ack_wait_s": "-1"}, 2, ["SPIRAL_GRACE_S", "SPIRAL_ACK_WAIT_S"]),
        ({"bus_url": "nats://127.0.0.1:{free}", "start_timeout_s": 0.5}, 1, ["no NATS server answered", "SPIRAL_BUS_URL"]),
        ({"bus_url": "http://somewhere"}, 2, ["SPIRAL_BUS_URL", "nats://host:port"]),
        ({"store_url": "s3://key:topsecret@127.0.0.1:{free}/bucket", "start_timeout_s": 0.5}, 1, ["127.0.0.1"]),
        ({"store_url": "file://relative/path"}, 2, ["SPIRAL_STORE_URL"]),
        ({"traces_exporter": "nowhere"}, 2, ["SPIRAL_TRACES_EXPORTER"]),
    ],
    ids=["settings", "no broker", "bus url", "no store", "store url", "exporter"],
)
async def test_a_room_that_cannot_start_says_what_to_do(
    bus: Bus, settings: RoomSettings, changes: dict[str, object], code: int, words: list[str]
) -> None:
    filled = {name: value.replace("{free}", str(free_port())) if isinstance(value, str) else value for name, value in changes.items()}
    with child(settings, **filled) as process:
        exit_code, errors = await exit_of(process)
    assert exit_code == code, errors
    assert all(word in errors for word in words), errors
    assert "Traceback" not in errors
    assert "topsecret" not in errors


async def test_a_taken_grpc_port_is_named(bus: Bus, settings: RoomSettings) -> None:
    with child(settings) as first:
        here = await presence_of(bus)
        with child(settings, grpc_port=here.grpc_address.split(":")[1]) as second:
            code, errors = await exit_of(second)
        assert first.poll() is None
    assert code == 2
    assert "SPIRAL_GRPC_PORT" in errors


async def test_metrics_count_events_by_what_became_of_them(bus: Bus, settings: RoomSettings) -> None:
    port = free_port()
    with child(settings, metrics_port=port):
        await serving(bus, Room.EVALUATOR)
        await start_run(bus, "r1")
        await said(bus, "r1", 2)
        await settled(bus)

        def scrape() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return str(answer.read().decode())

        handled = 'spiral_events_handled_total{outcome="handled",room="evaluator",subject="model.updated"} 1.0'

        async def is_counted() -> bool:
            return handled in await asyncio.to_thread(scrape)

        await eventually(is_counted)
