"""People's words on labels reach the planner, and the next mixture."""

import asyncio
from collections.abc import Sequence

from services.planner.audits import CellAudits
from services.planner.codec import from_json
from services.planner.service import BUCKET, audits_key
from shared.bus import Bus
from shared.catalogue import Room
from shared.dead_letters import list_dead
from shared.domain import AuditVerdict
from shared.events import Event, GenerationRequested, LabelAudited, MixturePlanned, PlanClosed
from shared.history import follow
from shared.ports import Cause
from shared.publisher import publish_event
from shared.runs import BusRuns
from shared.settings import RoomSettings
from tests.integration.planner_room import USED, announce, planner, planner_room, report, review, tell
from tests.integration.planner_room import delivery as delivered
from tests.rooms import eventually
from tests.unit.planner.planted import run_spec

SPEC = run_spec(num_iterations=2, num_samples=60, max_candidates=200, lease_size=16)


def word(sample: int, verdict: AuditVerdict, revision: int = 1, cell: int = 0) -> LabelAudited:
    return LabelAudited("run", 1, USED[cell], f"sample-{cell}-{sample}", verdict, "ann", "", revision)


async def say(bus: Bus, words: Sequence[LabelAudited]) -> None:
    for event in words:
        await publish_event(bus, Room.CLI, Cause(f"{event.sample_id}/{event.revision}", 1), event)


async def noted(bus: Bus, count: int, cell: int = 0) -> None:
    """Returns once so many samples of a cell have a word."""

    async def are_noted() -> bool:
        entry = await (await bus.bucket(BUCKET)).get(audits_key("run", USED[cell]))
        return entry is not None and len(from_json(CellAudits, entry.value).words) == count

    await eventually(are_noted)


async def quality_until_closed(bus: Bus, iteration: int) -> list[Event]:
    """Reviews every lease as it is asked for; returns what was said up to the end of an iteration's plan."""
    events: list[Event] = []
    async with asyncio.timeout(30):
        async for _, event, _ in follow(bus, "run"):
            events.append(event)
            if isinstance(event, GenerationRequested):
                await announce(bus)
                await tell(bus, review(event.lease), event.lease.lease_id)
            if isinstance(event, PlanClosed) and event.iteration == iteration:
                break
    return events


async def test_wrong_labels_hold_a_cell_back_from_the_next_mixture(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    async with planner_room(bus, settings):
        await announce(bus)
        await tell(bus, report(0), "first")
        await quality_until_closed(bus, iteration=1)
        await say(bus, [word(number, AuditVerdict.WRONG) for number in range(3)])
        await say(bus, [word(number, AuditVerdict.CORRECT, cell=1) for number in range(3)])
        await noted(bus, 3)
        await noted(bus, 3, cell=1)
        await announce(bus)
        await tell(bus, report(1), "second")
        events = await quality_until_closed(bus, iteration=2)
    (mixture,) = (event for event in events if isinstance(event, MixturePlanned) and event.iteration == 2)
    assert mixture.held_back == (USED[0],)
    assert {quota.cell for quota in mixture.quotas} == set(USED[1:])
    closed = events[-1]
    assert isinstance(closed, PlanClosed)
    assert closed.held_back == (USED[0],)


async def test_same_words_again_change_no_decision_and_a_changed_mind_counts_at_the_next(bus: Bus, settings: RoomSettings) -> None:
    await BusRuns(bus).create(SPEC)
    await announce(bus)
    async with planner(settings) as (room, _):
        first = await room.on_weakness_report(report(0), delivered("report"))
        for number in range(3):
            assert await room.on_label_audited(word(number, AuditVerdict.WRONG), delivered(f"word-{number}")) == []
            assert await room.on_label_audited(word(number, AuditVerdict.WRONG), delivered(f"word-{number}", 2)) == []
        assert await room.on_weakness_report(report(0), delivered("report", 2)) == first
        second = await room.on_weakness_report(report(1), delivered("second"))
        for number in range(3):
            await room.on_label_audited(word(number, AuditVerdict.CORRECT, revision=2), delivered(f"better-{number}"))
            await room.on_label_audited(word(number, AuditVerdict.WRONG), delivered(f"word-{number}", 3))
        assert await room.on_weakness_report(report(1), delivered("second", 2)) == second
    events = [event for event in [*first, *second] if isinstance(event, MixturePlanned)]
    assert [event.held_back for event in events] == [(), (USED[0],)]
    entry = await (await bus.bucket(BUCKET)).get(audits_key("run", USED[0]))
    assert entry is not None
    assert {said.verdict for said in from_json(CellAudits, entry.value).words} == {AuditVerdict.CORRECT}


async def test_word_on_a_run_that_nobody_asked_for_is_a_dead_letter(bus: Bus, settings: RoomSettings) -> None:
    async with planner_room(bus, settings):
        await say(bus, [word(1, AuditVerdict.WRONG)])

        async def is_dead() -> bool:
            return bool(await list_dead(bus))

        await eventually(is_dead)
    (letter,) = await list_dead(bus)
    assert "run run is unknown" in letter.obituary.reason
