"""Planner and quality on a real broker, and the third-party generator as a process beside them."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from services.planner.service import build as build_planner
from services.planner.settings import PlannerSettings
from services.quality.service import build as build_quality
from services.quality.settings import QualitySettings
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.domain import Cell, ClosingReason, ImageCategory, ModelVersion, QuestionType, Strategy
from shared.events import CandidatesGenerated, CandidatesReviewed, DatasetReady, Event, GenerationRequested, PlanClosed, WeaknessReport
from shared.history import consumer_lag, follow
from shared.publisher import publish_event
from shared.registry import GeneratorRegistry
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import Sample, read_samples, write_probes
from tests.examples import CAUSE
from tests.rooms import eventually, serving
from tests.unit.planner.planted import REF, diagnosed, run_spec

HERE = Path(__file__).parent
PROTO = HERE.parents[1] / "proto" / "gen"
CELLS = tuple(Cell(ImageCategory.ARCHITECTURAL, question_type) for question_type in QuestionType)
BASE = ModelVersion("run/0", 0, REF)
NUM_SAMPLES = 24
# In a process of its own, Spiral's code is not merely unused: it can't be imported.
ALONE = """
import runpy, sys
sys.modules.update(shared=None, services=None)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], {}, "__main__")
"""


@dataclass
class Stage:
    """Planner and quality on a real broker, without a generator of their own."""

    bus: Bus
    settings: RoomSettings
    log: Path
    generator_bus_url: str = ""
    """Where the generator is a user of its own."""

    @contextmanager
    def generator(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """The third-party generator as a process; ended with the block if it lives."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{PROTO}:{HERE}",
            "SPIRAL_BUS_URL": self.generator_bus_url or self.settings.bus_url,
            "SPIRAL_STORE_URL": self.settings.store_url,
            "SPIRAL_ACK_WAIT_S": "1",
        }
        script, *arguments = command or ("generator.py",)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", ALONE, str(HERE / script), *arguments], env=environment, cwd=self.log.parent, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=20)

    async def living(self, num_replicas: int = 1) -> None:
        """Returns once so many replicas stand in the registry."""

        async def are_there() -> bool:
            return len(await GeneratorRegistry(self.bus.bucket).living()) == num_replicas

        await eventually(are_there)

    async def holds_a_lease(self) -> None:
        """Returns once a replica took a lease and has not answered it."""

        async def is_held() -> bool:
            return any(lag.num_in_flight for lag in await consumer_lag(self.bus) if lag.kind == "thirdparty")

        await eventually(is_held)

    async def ask(self) -> None:
        """A weakness report that makes the planner ask for all three cells, eight samples each, to be taught."""
        cells = tuple(diagnosed(cell, 20) for cell in CELLS)
        await publish_event(self.bus, Room.ATTRIBUTOR, replace(CAUSE, event_id="weak"), WeaknessReport("run", 0, BASE, REF, cells))

    async def heard_until(self, end: Callable[[Event], bool]) -> list[Event]:
        """The run's events up to the first that is the end."""
        events: list[Event] = []
        async with asyncio.timeout(40):
            async for _, event, _ in follow(self.bus, "run"):
                events.append(event)
                if end(event):
                    break
        return events

    async def sealed(self) -> tuple[list[Event], list[Sample]]:
        """All events up to the sealed dataset, and its samples."""
        events = await self.heard_until(lambda event: isinstance(event, DatasetReady))
        ready = events[-1]
        assert isinstance(ready, DatasetReady)
        async with self.artifacts() as artifacts:
            directory = await artifacts.fetch_directory(ready.dataset)
        return events, read_samples((directory / "samples.parquet").read_bytes(), "samples")

    @asynccontextmanager
    async def artifacts(self) -> AsyncIterator[Artifacts]:
        async with open_store(self.settings) as store:
            yield Artifacts(store, cache_dir=self.log.parent / "cache", producer="cli")


@asynccontextmanager
async def staged(bus: Bus, settings: RoomSettings, directory: Path) -> AsyncIterator[Stage]:
    stage = Stage(bus, settings, directory / "generator.log")
    async with stage.artifacts() as artifacts:
        nothing = await artifacts.put_bytes(write_probes([]))
    spec = run_spec(num_iterations=1, num_samples=NUM_SAMPLES, max_candidates=200, lease_size=5, strategy=Strategy.UNIFORM)
    await BusRuns(bus).create(replace(spec, probes=nothing, exam=nothing))
    own = settings.model_dump() | {"evaluator_address": "127.0.0.1:1"}
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(run(Room.PLANNER, PlannerSettings.model_validate(own), build_planner, stop)),
        asyncio.create_task(run(Room.QUALITY, QualitySettings.model_validate(own), build_quality, stop)),
    ]
    try:
        await serving(bus, Room.PLANNER)
        await serving(bus, Room.QUALITY)
        yield stage
    finally:
        stop.set()
        assert await asyncio.gather(*tasks) == [0, 0]


def check_whole(events: list[Event], samples: list[Sample]) -> None:
    """Every lease was answered and reviewed once, and every cell has its samples, each once, from the third party."""
    asked = [event.lease.lease_id for event in events if isinstance(event, GenerationRequested)]
    answered = [event.lease.lease_id for event in events if isinstance(event, CandidatesGenerated)]
    reviewed = [event.lease.lease_id for event in events if isinstance(event, CandidatesReviewed)]
    assert sorted(asked) == sorted(answered) == sorted(reviewed)
    assert len(asked) == len({*asked})
    closed = next(event for event in events if isinstance(event, PlanClosed))
    assert closed.reason is ClosingReason.QUOTAS_MET
    assert Counter(sample.cell for sample in samples) == dict.fromkeys(CELLS, NUM_SAMPLES // len(CELLS))
    assert len({sample.sample_id for sample in samples}) == NUM_SAMPLES
    makers = {(maker["kind"], maker["version"]) for maker in (json.loads(sample.provenance)["generator"] for sample in samples)}
    assert makers == {("thirdparty", "0.3.0")}
