"""Rooms of today among rooms of a newer contract, on a real broker: what they hand on, refuse, and understand after an upgrade."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

from services.attributor.service import build as build_attributor
from services.attributor.settings import AttributorSettings
from services.generators.rendered.candidates import CELLS, make_candidates
from services.generators.rendered.service import build as build_generator
from services.generators.rendered.settings import RenderedSettings
from services.planner.service import build as build_planner
from services.planner.settings import PlannerSettings
from services.quality.service import build as build_quality
from services.quality.settings import QualitySettings
from shared import wire
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import CATALOGUE, Room, Stream
from shared.dead_letters import list_dead, replay_dead
from shared.domain import ClosingReason, GeneratorIdentity, Lease, Recipe
from shared.envelope import Consequences
from shared.events import CandidatesGenerated, Event, GenerationRequested, MixturePlanned, ModelUpdated, PlanClosed, WeaknessReport
from shared.history import scan
from shared.manifest import Manifest, manifest_of, manifest_text
from shared.presence import BUCKET as PRESENCE
from shared.presence import present
from shared.run_spec import PlanningSpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import Probe, write_answers, write_candidates, write_probes
from tests.contract_versions import say_more, tomorrow
from tests.examples import CAUSE, artifact, evaluation_completed, model, run_spec
from tests.integration.newer_room import newer_source
from tests.rooms import eventually, living_room
from tests.unit.attributor.planted import planted_answers
from tests.unit.evaluator.asking import DELIVERY, TablePolicy, desk, probe
from tests.unit.planner.planted import diagnosed

NEWER = tomorrow()
CELL = CELLS[0]


def lease(ordinal: int = 1) -> Lease:
    lease_id = f"r1.1.{CELL.category.value}.{CELL.question_type.value}.{ordinal}"
    return Lease(lease_id, CELL, Recipe.TEACH, "rendered", ordinal, 12, 5, ordinal, 0.5, 64, model("r1"))


def as_newer(value: Any) -> Message:
    """The same in tomorrow's contract, with all that only that contract says."""
    return say_more(NEWER.message(type(value).__name__).FromString(wire.encode(value)))


async def tell(bus: Bus, by: Room, event: Event, payload: bytes) -> None:
    """Publishes an event whose payload a newer room wrote."""
    sealed = Consequences(by, replace(CAUSE, event_id=f"cause of {type(event).__name__}"), {}).seal(event)
    await bus.publish(sealed.subject, payload, sealed.headers)


async def heard(bus: Bus, message: type[Event]) -> list[Any]:
    """All events of a type as a newer room reads them."""
    row = next(row for row in CATALOGUE if row.message is message)
    async with aclosing(scan(bus, row.stream, [f"{row.subject}.>"])) as stored:
        return [NEWER.message(message.__name__).FromString(one.payload) async for one in stored]


async def first_heard(bus: Bus, message: type[Event]) -> Any:
    async def is_said() -> bool:
        return bool(await heard(bus, message))

    await eventually(is_said, 30)
    return (await heard(bus, message))[0]


@asynccontextmanager
async def rooms(settings: RoomSettings, *wanted: Room) -> AsyncIterator[None]:
    """Runs rooms until the block is left."""
    known: dict[Room, tuple[type[Any], Any]] = {
        Room.ATTRIBUTOR: (AttributorSettings, build_attributor),
        Room.PLANNER: (PlannerSettings, build_planner),
        Room.GENERATORS: (RenderedSettings, build_generator),
        Room.QUALITY: (QualitySettings, build_quality),
    }
    async with AsyncExitStack() as stack:
        for room in wanted:
            own, build = known[room]
            values = settings.model_dump(exclude={"instance_id"}) | {"evaluator_address": "127.0.0.1:1"}
            stop = asyncio.Event()
            task = asyncio.create_task(run(room, own.model_validate(values), build, stop))
            stack.push_async_callback(asyncio.wait_for, task, 20)
            stack.callback(stop.set)
        yield


@pytest.fixture
async def artifacts(bus: Bus, settings: RoomSettings, tmp_path: Path) -> AsyncIterator[Artifacts]:
    """The run's store, with the run made known."""
    made = make_candidates(CELL, 4, 77, 0.5, 64)
    probes = [Probe(f"p{at}", "core", c.cell, c.image, c.question, c.choices, c.answer, c.tolerance) for at, c in enumerate(made)]
    async with open_store(settings) as store:
        opened = Artifacts(store, cache_dir=tmp_path / "cache", producer="cli")
        core = await opened.put_bytes(write_probes(probes[:2]))
        exam = await opened.put_bytes(write_probes([replace(probe, split="exam") for probe in probes[2:]]))
        planning = PlanningSpec(num_samples=16, max_candidates=60, lease_size=16, floor_share=0.0)
        await BusRuns(bus).create(replace(run_spec("r1"), probes=core, exam=exam, planning=planning))
        yield opened


def told_more(part: Any) -> bool:
    return part.added_text == "of tomorrow" and part.added_part.number == 7


async def test_what_is_said_of_a_model_goes_through_ledgers_leases_reviews_and_the_dataset(
    bus: Bus, settings: RoomSettings, artifacts: Artifacts
) -> None:
    report = WeaknessReport("r1", 0, model("r1"), artifact("answers"), tuple(diagnosed(cell, 5) for cell in CELLS[:1]))
    async with rooms(settings, Room.PLANNER, Room.GENERATORS, Room.QUALITY):
        await tell(bus, Room.ATTRIBUTOR, report, as_newer(report).SerializeToString())
        ready = await first_heard(bus, _event("DatasetReady"))
    for name in ("MixturePlanned", "PlanClosed", "DatasetReady"):
        (said,) = await heard(bus, _event(name))
        assert told_more(said.base_model), name
        assert told_more(said.base_model.checkpoint), name
    for name in ("GenerationRequested", "CandidatesGenerated", "CandidatesReviewed"):
        for said in await heard(bus, _event(name)):
            assert told_more(said.lease.base_model), name
            assert told_more(said.lease.cell), name
    (promoted,) = await heard(bus, _event("ModelPromoted"))
    assert told_more(promoted.champion)
    assert ready.num_samples == 16
    assert await list_dead(bus) == []


def _event(name: str) -> type[Event]:
    return next(row.message for row in CATALOGUE if row.message.__name__ == name)


async def test_a_generator_hands_a_newer_lease_on_whole_also_after_a_crash(bus: Bus, settings: RoomSettings, artifacts: Artifacts) -> None:
    event = GenerationRequested("r1", 1, lease())
    newer: Any = as_newer(event)
    async with rooms(settings, Room.GENERATORS):
        await tell(bus, Room.PLANNER, event, newer.SerializeToString())
        before = await first_heard(bus, CandidatesGenerated)
    assert before.lease == newer.lease
    # A deleted stream has forgotten the event and its id, as if the room had died before it spoke.
    await bus.js.delete_stream(Stream.WORK.value)
    await bus.declare_streams()
    async with rooms(settings, Room.GENERATORS):
        assert await first_heard(bus, CandidatesGenerated) == before


async def test_quality_hands_a_newer_lease_and_its_maker_on_whole(bus: Bus, settings: RoomSettings, artifacts: Artifacts) -> None:
    candidates = await artifacts.put_bytes(write_candidates(make_candidates(CELL, 12, 5, 0.5, 64)))
    event = CandidatesGenerated("r1", 1, lease(), candidates, 12, GeneratorIdentity("rendered", "1.0.0", "g1"))
    newer: Any = as_newer(event)
    async with rooms(settings, Room.QUALITY):
        await tell(bus, Room.GENERATORS, event, newer.SerializeToString())
        reviewed = await first_heard(bus, _event("CandidatesReviewed"))
    assert (reviewed.lease, reviewed.generator) == (newer.lease, newer.generator)


async def test_attributor_and_evaluator_hand_a_newer_model_on_whole(
    bus: Bus, settings: RoomSettings, artifacts: Artifacts, tmp_path: Path
) -> None:
    rows = planted_answers(np.random.default_rng(1), dict.fromkeys(CELLS[:2], 0.5))
    event = replace(evaluation_completed("r1"), answers=await artifacts.put_bytes(write_answers(rows)))
    newer: Any = as_newer(event)
    async with rooms(settings, Room.ATTRIBUTOR):
        await tell(bus, Room.EVALUATOR, event, newer.SerializeToString())
        report = await first_heard(bus, WeaknessReport)
    assert (report.model, report.answers) == (newer.model, newer.answers)

    async with desk(tmp_path, [probe("a")]) as made:
        updated: Any = as_newer(made.event)
        evaluator = made.evaluator(TablePolicy(lambda *_: "3"))
        (completed,) = await evaluator.on_model_updated(wire.decode(ModelUpdated, updated.SerializeToString()), DELIVERY)
    assert NEWER.message("EvaluationCompleted").FromString(wire.encode(completed)).model == updated.model  # type: ignore[attr-defined]


@contextmanager
def newer_room(settings: RoomSettings, source: Path) -> Iterator["subprocess.Popen[str]"]:
    """A room of tomorrow as a process; ended by its handle."""
    values = settings.model_dump(exclude_none=True, exclude={"instance_id"})
    environment = {f"SPIRAL_{name.upper()}": str(value) for name, value in values.items()}
    script = Path(__file__).with_name("newer_room.py")
    process = subprocess.Popen(
        [sys.executable, str(script)], env={"PYTHONPATH": str(source), **environment}, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30)).strip()


async def test_an_enumerator_of_a_newer_room_is_a_dead_letter_that_is_handled_after_the_upgrade(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    closed = PlanClosed("r1", 1, ClosingReason.NO_GENERATOR, ("l1",), (), model("r1"), 0.0)
    newer = wire.to_wire(closed)
    newer.reason = 4  # type: ignore[attr-defined]

    async def ignored(event: Event, _: object) -> Sequence[Event]:
        raise AssertionError("the room of today read it")

    async def is_dead() -> bool:
        return bool(await list_dead(bus))

    async with living_room(settings, dict.fromkeys((MixturePlanned, CandidatesGenerated, PlanClosed), ignored), room=Room.QUALITY):
        await tell(bus, Room.PLANNER, closed, newer.SerializeToString())
        await eventually(is_dead)
    (letter,) = await list_dead(bus)
    assert letter.obituary.reason == "PlanClosed.reason: unknown ClosingReason 4; is the sender newer than this room?"

    with newer_room(settings, newer_source(tmp_path / "newer")) as upgraded:
        await replay_dead(bus, letter.sequence)
        assert await line_of(upgraded) == "operator float32", "what a room of today does not say has its default"
    assert await list_dead(bus) == []


async def test_what_a_newer_room_writes_beside_its_events_is_read(bus: Bus) -> None:
    entry = {"room": "quality", "kind": None, "instance_id": "q1", "pid": 1, "version": "9", "grpc_address": "", "state": "serving"}
    entry |= {"started_at": "", "heartbeat_at": "", "activity": {"what": "reviewing", "mood": "good"}, "mood": "good"}
    await (await bus.bucket(PRESENCE, 6.0)).put("quality.q1", json.dumps(entry).encode())
    (there,) = await present(bus)
    assert (there.room, there.activity.what) == ("quality", "reviewing")
    manifest = Manifest("n", "quality", CAUSE, {"a": artifact("a")}, {})
    assert manifest_of(json.dumps(json.loads(manifest_text(manifest)) | {"mood": "good"}).encode(), "here") == manifest
