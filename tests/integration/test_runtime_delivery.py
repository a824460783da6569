"""What the runtime promises about one event, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared import wire
from shared.bus import Bus
from shared.catalogue import Room, Stream
from shared.dead_letters import list_dead, replay_dead
from shared.envelope import CAUSED_AT, MESSAGE_ID
from shared.errors import Rejected, Retryable
from shared.events import DatasetReady, EvaluationCompleted, Event, ModelUpdated
from shared.history import scan
from shared.ports import Delivery
from shared.runs import BusRuns
from shared.service import Keyed
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.examples import artifact, evaluation_completed, model, model_updated, run_spec, training_progressed
from tests.rooms import eventually, living_room, said, settled, start_run, until
from tests.settings import room_settings


async def dead(bus: Bus, count: int) -> list[str]:
    """The reasons of the dead letters, once there are `count`."""

    async def are_there() -> bool:
        return len(await list_dead(bus)) >= count

    await eventually(are_there)
    return [letter.obituary.reason for letter in await list_dead(bus)]


async def test_an_event_is_handled_once_and_its_consequence_carries_where_it_comes_from(bus: Bus, settings: RoomSettings) -> None:
    seen: list[Delivery] = []

    async def on_model_updated(event: ModelUpdated, delivery: Delivery) -> list[Event]:
        seen.append(delivery)
        return [evaluation_completed(event.run_id)]

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        start_id = await start_run(bus, "r1")
        events = await said(bus, "r1", 2)
        await settled(bus)
    assert events == [model_updated("r1"), evaluation_completed("r1")]
    assert [(delivery.attempt, delivery.cause.event_id) for delivery in seen] == [(1, start_id)]
    (stored,) = [message async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.r1"])]
    assert stored.headers["ce-id"] == stored.headers[MESSAGE_ID]
    assert stored.headers["ce-type"] == "spiral.v1.EvaluationCompleted"
    assert stored.headers["ce-source"] == "/spiral/evaluator"
    assert stored.headers["ce-specversion"] == "1.0"
    assert stored.headers["traceparent"].startswith("00-")
    assert int(stored.headers[CAUSED_AT]) == seen[0].cause.stored_at_ns


async def test_a_trace_goes_through_the_room(bus: Bus, settings: RoomSettings) -> None:
    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        return [evaluation_completed(event.run_id)]

    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        (start,) = [message async for message in scan(bus, Stream.CONTROL, ["model.updated.r1"])]
        headers = {**start.headers, MESSAGE_ID: "again", "ce-id": "again", "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
        await bus.publish(start.subject, start.payload, headers)
        await said(bus, "r1", 3)
        await settled(bus)
    traces = [message.headers["traceparent"] async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.r1"])]
    assert any(trace_id in trace for trace in traces)


async def test_a_redelivered_event_says_the_same_again_and_the_stream_keeps_one(bus: Bus, settings: RoomSettings) -> None:
    attempts = 0

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> AsyncIterator[Event]:
        nonlocal attempts
        attempts += 1
        yield evaluation_completed(event.run_id)
        if attempts < 3:
            raise Retryable("the store answers 503")

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        await until(lambda: attempts == 3)
        await settled(bus)
    assert len([message async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.r1"])]) == 1
    assert await list_dead(bus) == []


async def test_a_repeat_past_the_duplicate_window_is_skipped(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> None:
    settings = room_settings(nats_server, tmp_path, duplicate_window_s=0.2)
    handled: list[str] = []

    async def on_model_updated(event: ModelUpdated, delivery: Delivery) -> list[Event]:
        handled.append(delivery.cause.event_id)
        return []

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        await until(lambda: len(handled) == 1)
        await asyncio.sleep(0.5)
        await start_run(bus, "r1")
        await start_run(bus, "r2")
        await until(lambda: len(handled) == 2)
        await settled(bus)
    assert len([message async for message in scan(bus, Stream.CONTROL, ["model.updated.r1"])]) == 2, "the broker forgot the id"
    assert len(handled) == 2


async def test_a_handler_longer_than_the_ack_wait_keeps_its_event(bus: Bus, settings: RoomSettings) -> None:
    attempts: list[int] = []

    async def on_model_updated(event: ModelUpdated, delivery: Delivery) -> list[Event]:
        attempts.append(delivery.attempt)
        await asyncio.sleep(3 * settings.ack_wait_s)
        return [evaluation_completed(event.run_id)]

    async with living_room(settings, {ModelUpdated: on_model_updated}), living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        await said(bus, "r1", 2)
        await settled(bus)
    assert attempts == [1]


@pytest.mark.parametrize(
    ("headers", "payload", "reason"),
    [
        ({"ce-type": "spiral.v2.ModelUpdated"}, None, "unknown event type"),
        ({}, b"\xff\xff\xff", "not a ModelUpdated"),
        ({}, b"", "empty"),
        ({"ce-id": "", MESSAGE_ID: ""}, None, "no ce-id"),
    ],
    ids=["version", "garbage", "empty", "anonymous"],
)
async def test_what_breaks_the_contract_is_a_dead_letter_at_once(
    bus: Bus, settings: RoomSettings, headers: dict[str, str], payload: bytes | None, reason: str
) -> None:
    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        return [evaluation_completed(event.run_id)]

    await start_run(bus, "good")
    (good,) = [message async for message in scan(bus, Stream.CONTROL, ["model.updated.good"])]
    bad = {name: value for name, value in {**good.headers, MESSAGE_ID: "x", "ce-id": "x", **headers}.items() if value}
    await bus.publish("model.updated.good", good.payload if payload is None else payload, bad)
    async with living_room(settings, {ModelUpdated: on_model_updated}):
        assert reason in (await dead(bus, 1))[0]
        await said(bus, "good", 2)
        await settled(bus)
    (letter,) = await list_dead(bus)
    assert (letter.obituary.subject, letter.obituary.attempt, letter.obituary.room) == ("model.updated.good", 1, "evaluator")
    assert letter.payload == (good.payload if payload is None else payload)


async def test_an_event_of_an_unknown_run_is_a_dead_letter_and_can_be_replayed_once_the_run_is_known(
    bus: Bus, settings: RoomSettings
) -> None:
    handled: list[Delivery] = []

    async def on_model_updated(event: ModelUpdated, delivery: Delivery) -> list[Event]:
        handled.append(delivery)
        return [evaluation_completed(event.run_id)]

    await start_run(bus, "known")
    (known,) = [message async for message in scan(bus, Stream.CONTROL, ["model.updated.known"])]

    await bus.publish("model.updated.later", wire.encode(model_updated("later")), {**known.headers, MESSAGE_ID: "later", "ce-id": "later"})
    async with living_room(settings, {ModelUpdated: on_model_updated}):
        assert "run later is unknown" in (await dead(bus, 1))[0]
        await BusRuns(bus).create(run_spec("later"))
        (letter,) = await list_dead(bus)
        assert letter.event() == model_updated("later")
        await replay_dead(bus, letter.sequence)
        await until(lambda: len(handled) == 2)
        await settled(bus)
    assert handled[1].cause.event_id == "later", "what follows has the ids that it would have had"
    assert await list_dead(bus) == []


async def test_a_failing_handler_is_tried_again_and_then_a_dead_letter_with_its_traceback(bus: Bus, settings: RoomSettings) -> None:
    attempts: list[int] = []

    async def on_model_updated(event: ModelUpdated, delivery: Delivery) -> list[Event]:
        attempts.append(delivery.attempt)
        if event.run_id == "bad":
            raise ZeroDivisionError("a planted bug")
        return [evaluation_completed(event.run_id)]

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "bad")
        assert await dead(bus, 1) == ["a planted bug"]
        await start_run(bus, "good")
        await said(bus, "good", 2)
        await settled(bus)
    assert attempts == [1, 2, 3, 1]
    (letter,) = await list_dead(bus)
    assert letter.obituary.error_type == "ZeroDivisionError"
    assert "on_model_updated" in letter.obituary.traceback


async def test_a_retryable_event_is_given_up_at_its_own_later_limit(bus: Bus, settings: RoomSettings) -> None:
    attempts: list[int] = []

    async def on_model_updated(event: ModelUpdated, delivery: Delivery) -> list[Event]:
        attempts.append(delivery.attempt)
        raise Retryable("the judge answers 503")

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        assert await dead(bus, 1) == ["the judge answers 503"]
    assert attempts == [1, 2, 3, 4, 5, 6]


async def test_an_event_whose_room_dies_again_and_again_is_not_handled_for_ever(bus: Bus, settings: RoomSettings) -> None:
    handled = 0

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        nonlocal handled
        handled += 1
        return []

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        pass
    await start_run(bus, "r1")
    reader = await bus.js.pull_subscribe_bind(consumer="evaluator_model-updated", stream=Stream.CONTROL.value)
    for _ in range(settings.max_deliver_retryable):
        (message,) = await reader.fetch(1, timeout=15)
        await message.nak()
    async with living_room(settings, {ModelUpdated: on_model_updated}):
        assert "without an end" in (await dead(bus, 1))[0]
    assert handled == 0


async def test_a_room_may_say_only_what_the_catalogue_lets_it_say(bus: Bus, settings: RoomSettings) -> None:
    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        return [model_updated(event.run_id, 1)]

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        assert "nothing that the evaluator publishes" in (await dead(bus, 1))[0]


async def test_progress_is_heard_while_the_work_goes_on_and_counts_once_after_a_repeat(bus: Bus, settings: RoomSettings) -> None:
    may_end = asyncio.Event()
    attempts = 0

    async def on_dataset_ready(event: DatasetReady, _: Delivery) -> AsyncIterator[Event | Keyed]:
        nonlocal attempts
        attempts += 1
        # A resumed training starts in the middle: explicit keys keep the ids where ordinals would shift.
        for step in (1, 2, 3) if attempts == 1 else (2, 3):
            yield Keyed(training_progressed(event.run_id, step), key=f"teach/{step}")
        await may_end.wait()
        if attempts == 1:
            raise Retryable("killed")
        yield model_updated(event.run_id, 1)

    ready = DatasetReady("r1", 1, artifact("dataset"), model("r1"), 10, (), 0.0)
    async with living_room(settings, {DatasetReady: on_dataset_ready}, room=Room.TRAINER):
        await start_run(bus, "r1")
        (start,) = [message async for message in scan(bus, Stream.CONTROL, ["model.updated.r1"])]

        headers = {**start.headers, MESSAGE_ID: "ready", "ce-id": "ready", "ce-type": "spiral.v1.DatasetReady"}
        await bus.publish("dataset.ready.r1", wire.encode(ready), headers)
        assert len(await said(bus, "r1", 5)) == 5, "three steps are out before the handler ends"
        may_end.set()
        events = await said(bus, "r1", 6)
        await settled(bus)
    assert attempts == 2
    assert events[-1] == model_updated("r1", 1)
    assert len([message async for message in scan(bus, Stream.PROGRESS, ["training.progressed.r1"])]) == 3


async def test_no_more_events_are_in_hand_than_allowed(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> None:
    settings = room_settings(nats_server, tmp_path, max_in_flight=2)
    at_work = most = 0

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.01)
        at_work -= 1
        return [evaluation_completed(event.run_id, event.iteration)]

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        for number in range(20):
            await start_run(bus, f"r{number}")
        await settled(bus)
    assert most == 2
    handled = [message.subject async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.*"])]
    assert len(handled) == len(set(handled)) == 20


async def test_a_refusal_by_the_handler_names_its_reason(bus: Bus, settings: RoomSettings) -> None:
    async def on_evaluation_completed(event: EvaluationCompleted, _: Delivery) -> list[Event]:
        raise Rejected("answers.parquet, row 3, column outcome: 'maybe'")

    async with living_room(settings, {EvaluationCompleted: on_evaluation_completed}, room=Room.ATTRIBUTOR):
        await start_run(bus, "r1")
        (start,) = [message async for message in scan(bus, Stream.CONTROL, ["model.updated.r1"])]

        headers = {**start.headers, MESSAGE_ID: "done", "ce-id": "done", "ce-type": "spiral.v1.EvaluationCompleted"}
        await bus.publish("evaluation.completed.r1", wire.encode(evaluation_completed("r1")), headers)
        assert await dead(bus, 1) == ["answers.parquet, row 3, column outcome: 'maybe'"]
