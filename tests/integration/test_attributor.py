"""The attributor as a service, on a real broker and store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc.aio
import numpy as np
import pytest
from spiral.v1 import attributor_pb2, attributor_pb2_grpc

from services.attributor.service import build, diagnosis_name
from services.attributor.settings import AttributorSettings
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.dead_letters import DeadLetter, list_dead
from shared.domain import ArtifactRef
from shared.events import EvaluationCompleted, WeaknessReport
from shared.presence import present
from shared.publisher import publish_event
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import AnswerRow, write_answers
from shared.wire import to_wire
from tests.examples import CAUSE, artifact, evaluation_completed, run_spec
from tests.rooms import eventually, said, serving
from tests.unit.attributor.planted import CELLS, planted_answers


async def dead(bus: Bus, count: int) -> list[DeadLetter]:
    """The dead letters, once there are `count`."""

    async def are_there() -> bool:
        return len(await list_dead(bus)) >= count

    await eventually(are_there)
    return await list_dead(bus)


@asynccontextmanager
async def attributor(bus: Bus, settings: RoomSettings) -> AsyncIterator[str]:
    """Runs the room and gives its gRPC address."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(Room.ATTRIBUTOR, AttributorSettings.model_validate(settings.model_dump()), build, stop))
    try:
        await serving(bus, Room.ATTRIBUTOR)
        yield next(one.grpc_address for one in await present(bus) if one.room == "attributor" and one.state == "serving")
    finally:
        stop.set()
        assert await asyncio.wait_for(task, 20) == 0


@pytest.fixture
async def artifacts(settings: RoomSettings, tmp_path: Path) -> AsyncIterator[Artifacts]:
    async with open_store(settings) as store:
        yield Artifacts(store, cache_dir=tmp_path / "cache", producer="evaluator")


def answers(seed: int, weak: float, strong: float) -> list[AnswerRow]:
    return planted_answers(np.random.default_rng(seed), {cell: weak if i == 0 else strong for i, cell in enumerate(CELLS[:6])})


async def evaluated(artifacts: Artifacts, rows: list[AnswerRow], iteration: int = 0) -> EvaluationCompleted:
    """Commits an evaluation; its exam answers do not stand in the store, so whoever opens them fails."""
    ref = await artifacts.put_bytes(write_answers(rows))
    await artifacts.commit(f"runs/r1/{iteration}/evaluation", {"answers.parquet": ref}, cause=CAUSE)
    event = evaluation_completed("r1", iteration)
    parent = f"r1/{iteration - 1}" if iteration else ""
    return replace(event, answers=ref, exam_answers=artifact("exam-answers"), model=replace(event.model, parent_model_id=parent))


async def say(bus: Bus, event: EvaluationCompleted) -> None:
    await publish_event(bus, Room.EVALUATOR, replace(CAUSE, event_id=f"model-{event.iteration}"), event)


async def test_a_model_is_diagnosed_and_compared_with_its_parent(bus: Bus, settings: RoomSettings, artifacts: Artifacts) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with attributor(bus, settings):
        await say(bus, await evaluated(artifacts, answers(1, 0.2, 0.8)))
        (_, first) = await said(bus, "r1", 2)
        await say(bus, await evaluated(artifacts, answers(1, 0.7, 0.8), iteration=1))
        events = await said(bus, "r1", 4)
    second = events[-1]
    assert isinstance(first, WeaknessReport)
    assert isinstance(second, WeaknessReport)
    assert [cell.cell for cell in first.cells if cell.is_weak] == [CELLS[0]]
    assert first.comparison is None
    assert second.comparison is not None
    assert second.comparison.baseline_model_id == "r1/0"
    gained = max(second.comparison.cells, key=lambda cell: cell.gain)
    assert (gained.cell, gained.num_fixed > 5) == (CELLS[0], True)
    assert await artifacts.find(diagnosis_name("r1", 1)) is not None


async def test_a_report_that_a_crash_left_unsaid_is_said_at_the_next_start(bus: Bus, settings: RoomSettings, artifacts: Artifacts) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    async with attributor(bus, settings):
        await say(bus, await evaluated(artifacts, answers(2, 0.3, 0.7)))
        (_, before) = await said(bus, "r1", 2)
    # A deleted stream has forgotten the event and its id, as if the room had died before it spoke.
    await bus.js.delete_stream("SPIRAL_CONTROL")
    await bus.declare_streams()
    async with attributor(bus, settings):
        assert await said(bus, "r1", 1) == [before]


async def test_answers_it_cannot_diagnose_become_dead_letters_and_the_room_lives_on(
    bus: Bus, settings: RoomSettings, artifacts: Artifacts
) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    good = await evaluated(artifacts, answers(3, 0.3, 0.7))
    exam = await artifacts.put_bytes(write_answers([replace(row, split="exam") for row in answers(3, 0.3, 0.7)]))
    async with attributor(bus, settings):
        for number, bad in enumerate((artifact("missing"), await artifacts.put_bytes(b"not Parquet"), exam)):
            await publish_event(bus, Room.EVALUATOR, replace(CAUSE, event_id=f"bad-{number}"), replace(good, answers=bad))
        orphan = replace(good, iteration=1, model=replace(good.model, parent_model_id="r1/9"))
        await publish_event(bus, Room.EVALUATOR, replace(CAUSE, event_id="orphan"), orphan)
        await say(bus, good)
        assert isinstance((await said(bus, "r1", 6))[-1], WeaknessReport)
        letters = await dead(bus, 4)
    reasons = " ".join(letter.obituary.reason for letter in letters)
    assert all(word in reasons for word in ("missing", "Parquet", "exam", "never evaluated"))


async def test_any_answers_can_be_diagnosed_by_call(bus: Bus, settings: RoomSettings, artifacts: Artifacts) -> None:
    before, after = [await artifacts.put_bytes(write_answers(answers(4, rate, 0.7))) for rate in (0.2, 0.6)]
    async with attributor(bus, settings) as address, grpc.aio.insecure_channel(address) as channel:
        stub = attributor_pb2_grpc.AttributorServiceStub(channel)

        async def diagnose(answers: ArtifactRef, parent: ArtifactRef | None = None) -> attributor_pb2.DiagnoseResponse:
            request = attributor_pb2.DiagnoseRequest(answers=to_wire(answers))
            if parent:
                request.parent_answers.CopyFrom(to_wire(parent))
            return await stub.Diagnose(request)

        assert not (await diagnose(after)).HasField("comparison")
        assert (await diagnose(after, before)).comparison.macro_gain > 0
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await diagnose(ArtifactRef(f"spiral://blobs/sha256/00/{'0' * 64}", "0" * 64, 1))
        assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError, match="no answers") as refusal:
            await diagnose(await artifacts.put_bytes(write_answers([])))
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
