"""What the planner does about generators that vanish, join, are paused or never come, while nothing else happens."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.planner.service import Planner
from shared.bus import Bus
from shared.domain import ClosingReason, EndReason, Lease
from shared.events import Event, GenerationRequested, PlanClosed, RunFinished
from shared.history import follow
from shared.ports import Cause
from shared.presence import present
from shared.registry import BUCKET as GENERATORS
from shared.registry import EXPIRY_S
from shared.runs import BusRuns
from shared.service import Keyed
from shared.settings import RoomSettings
from tests.broker import NatsServer
from tests.integration.planner_room import (
    SPEC,
    USED,
    alive,
    announce,
    asked,
    delivery,
    look,
    planner,
    planner_room,
    registry,
    report,
    review,
    tell,
)
from tests.rooms import eventually, said

ROOT = Path(__file__).parents[2]


@contextmanager
def rendered(settings: RoomSettings) -> Iterator[subprocess.Popen[bytes]]:
    """The rendered generator in a process of its own; killed at the end."""
    values = settings.model_dump(exclude_none=True, exclude={"instance_id"}) | {"announce_every_s": 0.3}
    environment = {f"SPIRAL_{name.upper()}": str(value) for name, value in values.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.generators.rendered"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen", **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def leases_until(bus: Bus, kind: str, count: int) -> list[Lease]:
    """The leases asked for so far, once `count` of them went to a kind; the limit is the registry's expiry and some ticks."""
    found: list[Lease] = []
    async with asyncio.timeout(EXPIRY_S + 5):
        async for _, event, _ in follow(bus, "run"):
            if isinstance(event, GenerationRequested):
                found.append(event.lease)
                if sum(lease.kind == kind for lease in found) == count:
                    break
    return found


async def ended(bus: Bus) -> Event:
    """The event that closed the plan."""
    async with asyncio.timeout(20):
        async for _, event, _ in follow(bus, "run"):
            if isinstance(event, PlanClosed | RunFinished):
                break
    return event


@asynccontextmanager
async def short_lived(bus: Bus, settings: RoomSettings, **own: object) -> AsyncIterator[None]:
    """A planner whose generators expire within a second and a half, with the first report told."""
    await BusRuns(bus).create(SPEC)
    await bus.bucket(GENERATORS, 1.5)
    async with planner_room(bus, settings, **own):
        yield


async def shown(bus: Bus, words: str) -> None:
    """Returns once the planner says that it does what is asked for."""

    async def is_shown() -> bool:
        return any(one.room == "planner" and words in one.activity.what for one in await present(bus))

    await eventually(is_shown)


async def test_leases_of_a_killed_kind_go_to_another_within_the_heartbeat_limit(bus: Bus, settings: RoomSettings) -> None:
    async with short_lived(bus, settings), alive(bus, "agentic", unit_cost_s=9.0):
        with rendered(settings) as process:

            async def lives() -> bool:
                return any(entry.generator.kind == "rendered" for entry in await registry(bus).living())

            await eventually(lives)
            process.kill()
            process.wait()
            await tell(bus, report(0), "first")
            before = await leases_until(bus, "rendered", 3)
        after = await leases_until(bus, "agentic", 3)
    assert after == [*before, *(replace(lease, kind="agentic") for lease in before)]


async def test_a_kind_that_joins_an_open_plan_gets_the_cells_that_nobody_served(bus: Bus, settings: RoomSettings) -> None:
    async with short_lived(bus, settings), alive(bus, "rendered", USED[:1]):
        await tell(bus, report(0), "first")
        await leases_until(bus, "rendered", 1)
        await shown(bus, f"waiting for a generator: {min(USED[1:])} and 1 more cell")
        async with alive(bus, "agentic", USED[1:]):
            joined = await leases_until(bus, "agentic", 2)
            await shown(bus, "filling plan 1")
    assert [lease.cell for lease in joined] == list(USED)


async def test_cells_of_a_paused_kind_wait_beyond_all_patience_until_it_is_resumed(bus: Bus, settings: RoomSettings) -> None:
    await registry(bus).pause("rendered")
    async with short_lived(bus, settings, generator_patience_s=0.0), alive(bus, "rendered"):
        await tell(bus, report(0), "first")
        await shown(bus, f"waiting for a generator: {min(USED)} and 2 more cells")
        assert [type(event).__name__ for event in await said(bus, "run", 3)] == ["WeaknessReport", "ModelPromoted", "MixturePlanned"]
        await registry(bus).resume("rendered")
        assert len(await leases_until(bus, "rendered", 3)) == 3


async def test_cells_that_nobody_comes_to_serve_stay_short_and_the_plan_says_so(bus: Bus, settings: RoomSettings) -> None:
    async with short_lived(bus, settings, generator_patience_s=1.0), alive(bus, "rendered", USED[:1]):
        await tell(bus, report(0), "first")
        async with asyncio.timeout(20):
            async for _, event, _ in follow(bus, "run"):
                if isinstance(event, GenerationRequested):
                    await tell(bus, review(event.lease), event.lease.lease_id)
                if isinstance(event, PlanClosed):
                    break
    assert isinstance(event, PlanClosed)
    assert event.reason is ClosingReason.NO_GENERATOR
    assert [short.cell for short in event.shortfalls] == list(USED[1:])


async def test_run_that_nobody_comes_to_serve_ends(bus: Bus, settings: RoomSettings) -> None:
    async with short_lived(bus, settings, generator_patience_s=0.0):
        await tell(bus, report(0), "first")
        end = await ended(bus)

        async def is_finished() -> bool:
            return await BusRuns(bus).unfinished() == []

        await eventually(is_finished)
    assert isinstance(end, RunFinished)
    assert end.reason is EndReason.NO_SAMPLES


async def test_waiting_is_logged_when_it_begins_and_when_it_ends_with_what_helps(bus: Bus, settings: RoomSettings) -> None:
    dear = await announce(bus, "agentic", USED[:2], unit_cost_s=9.0)
    async with planner(settings) as (room, _):
        await BusRuns(bus).create(SPEC)
        held = asked(await room.on_weakness_report(report(0), delivery("report")))
        await registry(bus).withdraw(dear)
        with capture_logs() as began:
            for _ in range(3):
                assert await look(room) == []
        await announce(bus, "agentic", USED)
        with capture_logs() as ended_now:
            assert [event.lease.cell for event in await look(room) if isinstance(event, GenerationRequested)] == [USED[2]]
    of_nobody, of_the_gone = sorted((entry for entry in began if entry["log_level"] == "warning"), key=lambda entry: len(entry["leases"]))
    assert of_nobody["cells"] == [str(USED[2])]
    assert "start a generator that serves them" in of_nobody["remedy"]
    assert of_the_gone["leases"] == [lease.lease_id for lease in held]
    assert "start a generator of kind agentic" in of_the_gone["remedy"]
    assert [entry["event"] for entry in ended_now] == 2 * ["cells wait for a generator no longer"]


@pytest.mark.parametrize("who", ["the next look", "another replica", "the next start"])
async def test_what_the_watch_decided_and_could_not_say_is_said(bus: Bus, settings: RoomSettings, who: str) -> None:
    await BusRuns(bus).create(SPEC)
    away = await announce(bus, "agentic", unit_cost_s=9.0)
    async with planner(settings) as (room, ports):
        held = asked(await room.on_weakness_report(report(0), delivery("report")))
        await registry(bus).withdraw(away)
        await announce(bus, "rendered")
        watch = room.watch(SPEC)
        await anext(watch)
        await watch.aclose()  # the ledger is written; the process dies before a word is heard
        rerouted = [replace(lease, kind="rendered") for lease in held]
        if who != "the next start":
            teller = room if who == "the next look" else Planner(ports, generator_patience_s=60, start_difficulty=0.3, top_difficulty=0.9)
            assert asked(await look(teller)) == rerouted
            assert await look(teller) == await look(room) == [], "once it was heard"
    if who == "the next start":
        async with planner_room(bus, settings):
            assert await leases_until(bus, "rendered", 3) == rerouted


async def test_planners_that_look_at_the_same_time_say_one_thing(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    away = await announce(bus, "agentic", unit_cost_s=9.0)
    async with planner(settings) as (room, ports):
        rival = Planner(ports, generator_patience_s=60, start_difficulty=0.3, top_difficulty=0.9)
        held = asked(await room.on_weakness_report(report(0), delivery("report")))
        await registry(bus).withdraw(away)
        await announce(bus, "rendered")

        async def words(one: Planner) -> list[tuple[Cause, Sequence[Event | Keyed]]]:
            return [said_for async for said_for in one.watch(SPEC)]

        both = [said_for for some in await asyncio.gather(words(room), words(rival)) for said_for in some]
        assert await look(room) == await look(rival) == []
    # The same cause and the same keys: the stream keeps the first.
    expected = [Keyed(GenerationRequested("run", 1, replace(lease, kind="rendered")), lease.lease_id) for lease in held]
    assert both
    assert all(said_for == (Cause("report", 1), expected) for said_for in both)


async def test_a_kind_that_comes_back_and_answers_an_old_lease_is_not_counted(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    async with planner(settings) as (room, _):
        gone = await announce(bus, "agentic", USED[:1])
        first = await room.on_weakness_report(report(0), delivery("report"))
        (old,) = asked(first)
        await registry(bus).withdraw(gone)
        await announce(bus, "rendered", USED)
        moved = [event.lease for event in await look(room) if isinstance(event, GenerationRequested)]
        assert moved[0] == replace(old, kind="rendered")
        following = await room.on_candidates_reviewed(review(moved[0]), delivery("answer of rendered"))
        await announce(bus, "agentic", USED[:1])
        # Quality gives the old answer the review that stands; under another cause, as another event brought it.
        late = replace(review(moved[0]), lease=old)
        assert await room.on_candidates_reviewed(late, delivery("answer of agentic")) == []
        assert await room.on_candidates_reviewed(review(moved[0]), delivery("answer of rendered", 2)) == following
        waiting, asked_for, num_accepted = [*moved[1:], *asked(following)], old.num_candidates, sum(v.accepted for v in late.verdicts)
        last: list[Event] = []
        while waiting:
            lease = waiting.pop()
            asked_for += lease.num_candidates
            answer = review(lease)
            num_accepted += sum(verdict.accepted for verdict in answer.verdicts)
            last = list(await room.on_candidates_reviewed(answer, delivery(lease.lease_id)))  # type: ignore[arg-type]
            waiting += asked(last)
            assert await room.on_candidates_reviewed(late, delivery("answer of agentic", 2)) == []
    (closed,) = last
    assert isinstance(closed, PlanClosed)
    assert closed.reason is ClosingReason.QUOTAS_MET
    assert asked_for <= 200
    assert num_accepted == 60
    assert len(set(closed.lease_ids)) == len(closed.lease_ids)


async def test_a_broker_that_was_away_leaves_no_lease_behind(bus: Bus, settings: RoomSettings, nats_server: NatsServer) -> None:
    async with short_lived(bus, settings), alive(bus, "rendered", unit_cost_s=9.0):
        entry = await announce(bus, "agentic")
        await tell(bus, report(0), "first")
        await leases_until(bus, "agentic", 3)
        await registry(bus).withdraw(entry)
        nats_server.stop()
        await asyncio.sleep(1.5)
        nats_server.start()
        rerouted = await leases_until(bus, "rendered", 3)
    assert {lease.lease_id for lease in rerouted if lease.kind == "rendered"} == {lease.lease_id for lease in rerouted}
