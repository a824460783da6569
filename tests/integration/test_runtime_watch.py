"""A room that looks at its runs without being told anything, and one that says first of all that it drains."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from structlog.testing import capture_logs

from shared.bus import Bus
from shared.catalogue import Stream
from shared.errors import Retryable
from shared.events import Event, ModelUpdated
from shared.history import scan
from shared.ports import Cause, Delivery
from shared.run_spec import RunSpec
from shared.runs import BusRuns
from shared.service import Ports, Service
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.examples import evaluation_completed, run_spec
from tests.rooms import living_room, said, start_run, until

Words = AsyncGenerator[tuple[Cause, Sequence[Event]], None]


async def nothing(event: Event, _: Delivery) -> list[Event]:
    return []


def told(run_id: str) -> tuple[Cause, Sequence[Event]]:
    return Cause(f"seen-in-{run_id}", 1), [evaluation_completed(run_id)]


async def test_what_a_look_yields_is_heard_before_it_goes_on(bus: Bus, settings: RoomSettings) -> None:
    heard: list[int] = []

    async def watch(spec: RunSpec) -> Words:
        if not heard:
            yield told(spec.run_id)
            stored = [message async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.r1"])]
            heard.append(len(stored))

    def with_watch(service: Service, _: Ports) -> Service:
        return replace(service, watch=watch)

    await BusRuns(bus).create(run_spec("r1"))
    await BusRuns(bus).create(run_spec("over"))
    await BusRuns(bus).mark_finished("over")
    async with living_room(settings, {ModelUpdated: nothing}, shape=with_watch):
        await until(lambda: heard)
    assert heard == [1]
    assert [message.subject async for message in scan(bus, Stream.CONTROL, ["evaluation.completed.>"])] == ["evaluation.completed.r1"]


async def test_a_look_whose_words_a_broker_did_not_take_begins_anew(bus: Bus, nats_server: NatsServer, settings: RoomSettings) -> None:
    is_away, num_looks, num_heard = asyncio.Event(), 0, 0

    async def watch(spec: RunSpec) -> Words:
        nonlocal num_looks, num_heard
        num_looks += 1
        await is_away.wait()
        yield told(spec.run_id)
        num_heard += 1

    def with_watch(service: Service, _: Ports) -> Service:
        return replace(service, watch=watch)

    await BusRuns(bus).create(run_spec("r1"))
    impatient = settings.model_copy(update={"publish_timeout_s": 0.3})
    async with living_room(impatient, {ModelUpdated: nothing}, shape=with_watch):
        await until(lambda: num_looks)
        nats_server.stop()
        is_away.set()
        await asyncio.sleep(1.0)
        assert num_heard == 0
        nats_server.start()
        await until(lambda: num_heard)
        await said(bus, "r1", 1)
    assert num_looks >= 2


async def test_a_look_that_fails_at_one_run_is_told_once_and_keeps_nobody_from_the_others(bus: Bus, settings: RoomSettings) -> None:
    num_failed = 0

    async def watch(spec: RunSpec) -> Words:
        nonlocal num_failed
        if spec.run_id == "bad":
            num_failed += 1
            raise ZeroDivisionError("a planted bug")
        yield told(spec.run_id)

    def with_watch(service: Service, _: Ports) -> Service:
        return replace(service, watch=watch)

    await BusRuns(bus).create(replace(run_spec("bad"), created_at_ns=1))
    await BusRuns(bus).create(replace(run_spec("r1"), created_at_ns=2))
    with capture_logs() as lines:
        async with living_room(settings, {ModelUpdated: nothing}, shape=with_watch):
            await said(bus, "r1", 1)
            await until(lambda: num_failed > 1)
    assert [line["run_id"] for line in lines if line["log_level"] == "error"] == ["bad"]


async def test_a_room_says_that_it_drains_before_it_finishes_what_it_holds(bus: Bus, settings: RoomSettings) -> None:
    order: list[str] = []
    at_work, may_end = asyncio.Event(), asyncio.Event()

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        at_work.set()
        await may_end.wait()
        order.append("finished")
        return [evaluation_completed(event.run_id)]

    async def on_drain() -> None:
        order.append("told")
        may_end.set()

    def with_drain(service: Service, _: Ports) -> Service:
        return replace(service, on_drain=on_drain)

    async with living_room(settings, {ModelUpdated: on_model_updated}, shape=with_drain) as living:
        await start_run(bus, "r1")
        await at_work.wait()
        living.stop.set()
        assert await living.exit_code() == 0
    assert order == ["told", "finished"]


async def test_a_room_whose_last_words_nobody_hears_drains_all_the_same(bus: Bus, settings: RoomSettings) -> None:
    async def on_drain() -> None:
        raise Retryable("the broker is away")

    def with_drain(service: Service, _: Ports) -> Service:
        return replace(service, on_drain=on_drain)

    async with living_room(settings, {ModelUpdated: nothing}, shape=with_drain) as living:
        living.stop.set()
        assert await living.exit_code() == 0
