"""Two runs on one stack at the same time: planner, generators and quality share their time among both, and neither touches the other."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.generators.rendered import service as generators
from services.generators.rendered.candidates import CELLS, make_candidates
from services.generators.rendered.settings import RenderedSettings
from services.planner import service as planner
from services.planner.settings import PlannerSettings
from services.quality import service as quality
from services.quality.settings import QualitySettings
from shared.artifacts import Artifacts
from shared.bus import Bus, connect
from shared.catalogue import Room
from shared.dead_letters import list_dead
from shared.domain import Strategy
from shared.events import CandidatesReviewed, DatasetReady, GenerationRequested, WeaknessReport
from shared.history import follow
from shared.publisher import publish_event
from shared.registry import GeneratorRegistry
from shared.run_spec import PlanningSpec, QualitySpec, TrainingSpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import Probe, read_samples, write_probes
from tests.broker import NatsServer
from tests.examples import CAUSE, model, run_spec
from tests.rooms import eventually, serving
from tests.settings import room_settings
from tests.unit.planner.planted import diagnosed

USED = CELLS[:3]
ROOMS: tuple[tuple[Room, type[RoomSettings], Callable[..., Any]], ...] = (
    (Room.PLANNER, PlannerSettings, planner.build),
    (Room.GENERATORS, RenderedSettings, generators.build),
    (Room.QUALITY, QualitySettings, quality.build),
)


@asynccontextmanager
async def rooms(directory: Path) -> AsyncIterator[tuple[Bus, Artifacts]]:
    """A broker, a store and the three rooms of their own."""
    server = NatsServer(directory / "nats")
    server.start()
    try:
        # Nobody is asked for pass rates: all that is weak is taught.
        settings = room_settings(server, directory, evaluator_address="127.0.0.1:9")
        async with connect(settings, "test") as bus, open_store(settings) as store:
            await bus.declare_streams()
            stop = asyncio.Event()
            lives = [
                asyncio.create_task(run(room, own.model_validate(settings.model_dump(exclude={"instance_id"})), build, stop))
                for room, own, build in ROOMS
            ]
            try:
                for room, _, _ in ROOMS:
                    await serving(bus, room, 30)
                registry = GeneratorRegistry(bus.bucket)
                await eventually(registry.living)
                yield bus, Artifacts(store, cache_dir=directory / "cache", producer="cli")
            finally:
                stop.set()
                assert await asyncio.gather(*lives) == [0, 0, 0]
    finally:
        server.stop()


async def sealed(directory: Path, *run_ids: str) -> dict[str, tuple[set[str], set[str]]]:
    """Lease ids and the ids of the sealed samples of each run, told of the same weaknesses at the same time."""
    async with rooms(directory) as (bus, artifacts):
        for run_id in run_ids:
            made = [make_candidates(cell, 2, 1, 0.5, 64) for cell in USED]
            probes = [
                Probe(f"{at}-{split}", split, one.cell, one.image, one.question, one.choices, one.answer, one.tolerance)
                for at, pair in enumerate(made)
                for split, one in zip(("core", "exam"), pair, strict=True)
            ]
            spec = replace(
                run_spec(run_id),
                probes=await artifacts.put_bytes(write_probes([probe for probe in probes if probe.split == "core"])),
                exam=await artifacts.put_bytes(write_probes([probe for probe in probes if probe.split == "exam"])),
                planning=PlanningSpec(strategy=Strategy.UNIFORM, num_samples=60, max_candidates=400, lease_size=8),
                quality=QualitySpec(),
                training=TrainingSpec(recipe="sft"),
            )
            await BusRuns(bus).create(spec)
        for run_id in run_ids:
            report = WeaknessReport(run_id, 0, model(run_id), spec.probes, tuple(diagnosed(cell, 30) for cell in USED))
            await publish_event(bus, Room.ATTRIBUTOR, replace(CAUSE, event_id=f"report of {run_id}"), report)
        found = await asyncio.gather(*(_dataset(bus, artifacts, run_id) for run_id in run_ids))
        assert await list_dead(bus) == []
        return dict(zip(run_ids, found, strict=True))


async def _dataset(bus: Bus, artifacts: Artifacts, run_id: str) -> tuple[set[str], set[str]]:
    asked, reviewed = set[str](), set[str]()
    async with asyncio.timeout(60), aclosing(follow(bus, run_id)) as events:
        async for _, event, _ in events:
            if isinstance(event, GenerationRequested):
                asked.add(event.lease.lease_id)
            if isinstance(event, CandidatesReviewed):
                reviewed.add(event.lease.lease_id)
            if isinstance(event, DatasetReady):
                break
    assert reviewed <= asked
    directory = await artifacts.fetch_directory(event.dataset)
    ids = [sample.sample_id for path in directory.rglob("*.parquet") for sample in read_samples(path.read_bytes(), str(path))]
    assert len(ids) == len(set(ids)) == 60
    return asked, set(ids)


async def test_two_runs_at_once_end_as_each_alone(tmp_path: Path) -> None:
    together = await sealed(tmp_path / "both", "one", "two")
    alone = {run_id: (await sealed(tmp_path / run_id, run_id))[run_id] for run_id in ("one", "two")}
    assert together == alone
    assert together["one"][1].isdisjoint(together["two"][1])


async def test_a_run_whose_broker_is_lost_ends_the_same_from_what_its_store_holds(tmp_path: Path) -> None:
    before = await sealed(tmp_path, "one")
    objects = {path: path.stat().st_mtime_ns for path in (tmp_path / "objects").rglob("*") if path.is_file()}
    shutil.rmtree(tmp_path / "nats")
    assert await sealed(tmp_path, "one") == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "objects").rglob("*") if path.is_file()} == objects
