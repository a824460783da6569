"""What a room does when the broker goes and comes back, and what it says again after a crash."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from shared import wire
from shared.bus import Bus
from shared.catalogue import Room, Stream
from shared.dead_letters import list_dead
from shared.domain import EndReason
from shared.events import CandidatesReviewed, EvaluationCompleted, Event, LabelAudited, ModelUpdated, RunFinished, WeaknessReport
from shared.history import scan
from shared.ports import Cause, Delivery
from shared.run_spec import RunSpec
from shared.runs import BusRuns
from shared.service import Ports, Service
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.examples import artifact, evaluation_completed, model, run_spec
from tests.rooms import eventually, living_room, said, serving, settled, start_run, until
from tests.settings import room_settings


@pytest.mark.parametrize("is_crash", [False, True], ids=["restart", "crash"])
async def test_a_broker_that_goes_while_a_handler_works_costs_nothing(
    bus: Bus, settings: RoomSettings, nats_server: NatsServer, *, is_crash: bool
) -> None:
    at_work, may_end = asyncio.Event(), asyncio.Event()
    num_handled = 0

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        nonlocal num_handled
        num_handled += 1
        at_work.set()
        await may_end.wait()
        return [evaluation_completed(event.run_id)]

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        await at_work.wait()
        nats_server.kill() if is_crash else nats_server.stop()
        # Longer than the ack wait: the broker comes back believing that the room is dead.
        await asyncio.sleep(1.5 * settings.ack_wait_s)
        nats_server.start()
        may_end.set()
        assert (await said(bus, "r1", 2))[1] == evaluation_completed("r1")
        await start_run(bus, "r2")
        await said(bus, "r2", 2)
        await settled(bus)
    assert num_handled == 2, "a redelivery of what is in hand is not handled beside it"
    stored = [message.subject async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.>"])]
    assert sorted(stored) == ["evaluation.completed.r1", "evaluation.completed.r2"]
    assert await list_dead(bus) == []


async def test_a_handler_that_ends_while_the_broker_is_away_is_heard_once_it_is_back(
    bus: Bus, settings: RoomSettings, nats_server: NatsServer
) -> None:
    at_work, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    num_handled = 0

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        nonlocal num_handled
        num_handled += 1
        at_work.set()
        await may_end.wait()
        ended.set()
        return [evaluation_completed(event.run_id)]

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await start_run(bus, "r1")
        await at_work.wait()
        nats_server.stop()
        may_end.set()
        await ended.wait()
        await asyncio.sleep(0.5)
        nats_server.start()
        await said(bus, "r1", 2)
    assert num_handled == 1, "the work of a long handler is not thrown away"


async def test_an_event_whose_dead_letter_cannot_be_stored_stays(bus: Bus, nats_server: NatsServer, tmp_path: Path) -> None:
    settings = room_settings(nats_server, tmp_path, publish_timeout_s=0.2)
    num_handled = 0

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        nonlocal num_handled
        num_handled += 1
        raise ZeroDivisionError("a planted bug")

    async with living_room(settings, {ModelUpdated: on_model_updated}):
        await bus.js.delete_stream(Stream.DEAD.value)
        await start_run(bus, "r1")
        await until(lambda: num_handled > settings.max_deliver + 1)
        await bus.declare_streams()
        await eventually(lambda: list_dead(bus))
    assert len(await list_dead(bus)) == 1


async def test_a_room_says_on_its_start_what_a_crash_kept_unsaid_and_nothing_twice(
    bus: Bus, nats_server: NatsServer, tmp_path: Path
) -> None:
    # So short that the broker does not remember what was said before the second start.
    settings = room_settings(nats_server, tmp_path, duplicate_window_s=0.2)
    start_id = await start_run(bus, "r1")
    (start,) = [message async for message in scan(bus, Stream.CONTROL, ["model.updated.r1"])]
    cause = Cause(start_id, start.stored_at_ns)
    standing: list[tuple[Cause, Sequence[Event]]] = [(cause, [evaluation_completed("r1")])]
    asked: list[str] = []

    async def reconcile(spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        asked.append(spec.run_id)
        return standing

    async def on_model_updated(event: ModelUpdated, delivery: Delivery) -> list[Event]:
        assert delivery.cause == cause
        return [evaluation_completed(event.run_id)]

    def with_reconcile(service: Service, _: Ports) -> Service:
        return replace(service, reconcile=reconcile)

    for _ in range(2):
        async with living_room(settings, {ModelUpdated: on_model_updated}, shape=with_reconcile):
            await serving(bus, Room.EVALUATOR)
            await said(bus, "r1", 2)
            await settled(bus)
        await asyncio.sleep(0.5)
    assert asked == ["r1", "r1"]
    assert len([message async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.>"])]) == 1


async def test_a_finished_run_is_reconciled_no_more(bus: Bus, settings: RoomSettings) -> None:
    runs = BusRuns(bus)
    await runs.create(replace(run_spec("young"), created_at_ns=2))
    await runs.create(replace(run_spec("old"), created_at_ns=1))

    async def unused(event: Event, _: Delivery) -> list[Event]:
        return []

    async def on_weakness_report(event: WeaknessReport, _: Delivery) -> AsyncIterator[Event]:
        yield RunFinished("old", 1, EndReason.ITERATIONS_DONE, model("old"), "done")

    assert [spec.run_id for spec in await runs.unfinished()] == ["old", "young"]

    handlers = {WeaknessReport: on_weakness_report, CandidatesReviewed: unused, LabelAudited: unused}
    async with living_room(settings, handlers, room=Room.PLANNER):
        report = WeaknessReport("old", 1, model("old"), artifact("answers"), ())
        headers = {"Nats-Msg-Id": "x", "ce-id": "x", "ce-type": "spiral.v1.WeaknessReport"}
        await bus.publish("weakness.report.old", wire.encode(report), headers)
        await said(bus, "old", 2)

        async def only_the_young_is_left() -> bool:
            return [spec.run_id for spec in await runs.unfinished()] == ["young"]

        await eventually(only_the_young_is_left)


async def test_a_room_that_asks_to_be_drained_ends_with_0(bus: Bus, settings: RoomSettings) -> None:
    async def on_evaluation_completed(event: EvaluationCompleted, _: Delivery) -> list[Event]:
        return []

    async with living_room(settings, {EvaluationCompleted: on_evaluation_completed}, room=Room.ATTRIBUTOR) as living:
        await serving(bus, Room.ATTRIBUTOR)
        living.ports.drain()
        assert await living.exit_code() == 0


async def test_handlers_that_differ_from_the_catalogue_are_refused(bus: Bus, settings: RoomSettings) -> None:
    async with living_room(settings, {}) as living:
        assert await living.exit_code() == 1
