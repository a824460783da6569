"""The bus on a real nats-server: what it declares, repairs, refuses, and keeps."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from nats.js import api

from shared.bus import Bus, connect
from shared.catalogue import BY_SUBJECT, Room, Stream, stream_subjects
from shared.errors import BadConfiguration, NotFound, Rejected, Retryable
from shared.events import Event
from shared.history import consumer_lag, follow
from shared.publisher import publish_event
from shared.runs import BusRuns
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.examples import CAUSE, model_updated, run_spec
from tests.settings import room_settings

MODEL_UPDATED = BY_SUBJECT["model.updated"]


async def test_streams_stand_as_the_catalogue_says(bus: Bus) -> None:
    for stream in Stream:
        config = (await bus.js.stream_info(stream.value)).config
        assert config.subjects == stream_subjects(stream)
        assert (config.storage, config.retention) == (api.StorageType.FILE, api.RetentionPolicy.LIMITS)
    assert (await bus.js.stream_info("SPIRAL_CONTROL")).config.max_age == 0
    assert (await bus.js.stream_info("SPIRAL_PROGRESS")).config.max_age == 86_400


async def test_a_stream_that_drifted_is_repaired_and_keeps_its_events(bus: Bus) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    await publish_event(bus, Room.CLI, CAUSE, model_updated("r1"))
    config = (await bus.js.stream_info("SPIRAL_CONTROL")).config
    await bus.js.update_stream(config.evolve(subjects=["model.updated.>"], max_msgs=7, duplicate_window=60.0))
    await bus.declare_streams()
    repaired = await bus.js.stream_info("SPIRAL_CONTROL")
    assert repaired.config.subjects == stream_subjects(Stream.CONTROL)
    assert (repaired.config.max_msgs, repaired.config.duplicate_window) == (-1, 120)
    assert repaired.state.messages == 1


async def test_the_subjects_of_a_newer_room_stay_when_an_older_one_starts(bus: Bus) -> None:
    config = (await bus.js.stream_info("SPIRAL_CONTROL")).config
    await bus.js.update_stream(config.evolve(subjects=[*stream_subjects(Stream.CONTROL), "news.of.tomorrow.>"]))
    await bus.declare_streams()
    await bus.publish("news.of.tomorrow.r1", b"", {"Nats-Msg-Id": "1"})
    assert (await bus.js.stream_info("SPIRAL_CONTROL")).state.messages == 1


async def test_a_stream_that_cannot_be_repaired_is_named(bus: Bus) -> None:
    await bus.js.delete_stream("SPIRAL_CONTROL")
    await bus.js.add_stream(name="SPIRAL_CONTROL", subjects=stream_subjects(Stream.CONTROL), storage=api.StorageType.MEMORY)
    with pytest.raises(BadConfiguration, match="SPIRAL_CONTROL"):
        await bus.declare_streams()


async def test_a_consumer_that_drifted_is_repaired_where_it_stands(bus: Bus) -> None:
    name = await bus.declare_consumer("evaluator", MODEL_UPDATED)
    config = (await bus.js.consumer_info("SPIRAL_CONTROL", name)).config
    await bus.js.add_consumer("SPIRAL_CONTROL", config.evolve(ack_wait=99.0, max_deliver=2))
    assert await bus.declare_consumer("evaluator", MODEL_UPDATED) == name
    repaired = (await bus.js.consumer_info("SPIRAL_CONTROL", name)).config
    assert (repaired.ack_wait, repaired.max_deliver, repaired.filter_subject) == (1.0, -1, "model.updated.*")


async def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", has_jetstream=False)
    server.start()
    try:
        with pytest.raises(BadConfiguration, match="no JetStream"):
            async with connect(room_settings(server, tmp_path), "test"):
                pass
    finally:
        server.stop()


@asynccontextmanager
async def old_server() -> AsyncIterator[int]:
    """Something that speaks enough of the protocol to say that it is Debian's nats-server; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = {"server_id": "X", "version": "2.9.10", "max_payload": 1_048_576, "headers": True, "jetstream": True}
        writer.write(f"INFO {json.dumps(greeting)}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_server_that_is_too_old_is_refused(settings: RoomSettings) -> None:
    async with old_server() as port:
        old = settings.model_copy(update={"bus_url": f"nats://127.0.0.1:{port}"})
        with pytest.raises(BadConfiguration, match=r"2\.9\.10.*2\.10 or newer"):
            async with connect(old, "test"):
                pass


async def test_an_id_is_stored_once(bus: Bus) -> None:
    assert await bus.publish("model.updated.r1", b"x", {"Nats-Msg-Id": "a"}) is False
    assert await bus.publish("model.updated.r1", b"x", {"Nats-Msg-Id": "a"}) is True
    assert (await bus.js.stream_info("SPIRAL_CONTROL")).state.messages == 1


async def test_a_subject_without_a_stream_is_retried_and_then_retryable(nats_server: NatsServer, tmp_path: Path) -> None:
    async with connect(room_settings(nats_server, tmp_path, publish_timeout_s=0.3), "test") as impatient:
        with pytest.raises(Retryable, match="no stream binds it"):
            await impatient.publish("nobody.listens.r1", b"x", {"Nats-Msg-Id": "a"})


async def test_what_the_broker_cannot_take_is_refused_by_its_size(bus: Bus) -> None:
    with pytest.raises(Rejected, match="large things go to the store"):
        await bus.publish("model.updated.r1", bytes(2_000_000), {"Nats-Msg-Id": "a"})


async def test_a_run_is_written_once(bus: Bus) -> None:
    runs = BusRuns(bus)
    with pytest.raises(NotFound, match="r1"):
        await runs.get("r1")
    await runs.create(run_spec("r1"))
    await runs.create(run_spec("r1"))
    with pytest.raises(Rejected, match="another specification"):
        await BusRuns(bus).create(replace(run_spec("r1"), seed=8))
    assert await BusRuns(bus).get("r1") == run_spec("r1")


async def test_following_a_run_gives_the_past_in_order_then_the_present_and_nothing_twice(bus: Bus, nats_server: NatsServer) -> None:
    for run_id in ("r1", "other"):
        await BusRuns(bus).create(run_spec(run_id))
    for iteration in range(3):
        await publish_event(bus, Room.CLI, replace(CAUSE, event_id=f"e{iteration}"), model_updated("r1", iteration))
        await publish_event(bus, Room.CLI, replace(CAUSE, event_id=f"o{iteration}"), model_updated("other", iteration))
    await bus.publish("model.updated.r1", b"\xff", {"Nats-Msg-Id": "garbage"})
    events: list[Event] = []
    past_is_read = asyncio.Event()

    async def read() -> None:
        async with aclosing(follow(bus, "r1")) as following:
            async for subject, event, at in following:
                assert subject == "model.updated.r1"
                assert at.tzinfo is not None
                events.append(event)
                if len(events) == 3:
                    past_is_read.set()
                if len(events) == 5:
                    return

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await past_is_read.wait()
        await publish_event(bus, Room.CLI, replace(CAUSE, event_id="e3"), model_updated("r1", 3))
        nats_server.stop()
        nats_server.start()
        await publish_event(bus, Room.CLI, replace(CAUSE, event_id="e2"), model_updated("r1", 2))
        await publish_event(bus, Room.CLI, replace(CAUSE, event_id="e4"), model_updated("r1", 4))
        await reading
    assert events == [model_updated("r1", iteration) for iteration in range(5)]


async def test_lag_counts_what_waits_and_what_is_in_hand(bus: Bus) -> None:
    name = await bus.declare_consumer("evaluator", MODEL_UPDATED)
    await bus.declare_consumer("generators", BY_SUBJECT["generation.requested"], "rendered")
    for number in range(3):
        await publish_event(bus, Room.CLI, replace(CAUSE, event_id=f"e{number}"), model_updated("r1", number))
    reader = await bus.js.pull_subscribe_bind(consumer=name, stream="SPIRAL_CONTROL")
    await reader.fetch(1)
    first, second = await consumer_lag(bus)
    assert (first.room, first.subject, first.kind, first.num_pending, first.num_in_flight) == (Room.EVALUATOR, "model.updated", None, 2, 1)
    assert (second.room, second.subject, second.kind, second.num_pending) == (Room.GENERATORS, "generation.requested", "rendered", 0)
