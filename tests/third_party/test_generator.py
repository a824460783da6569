"""A generator written elsewhere, as its own process, from the registry to a sealed dataset; and what its faults cost."""

import ast
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest

from services.planner.service import build as build_planner
from services.planner.settings import PlannerSettings
from services.quality.derivation import derive
from services.quality.scene_description import Query, parse_scene
from services.quality.service import build as build_quality
from services.quality.settings import QualitySettings
from shared.artifacts import Artifacts
from shared.bus import Bus, connect
from shared.catalogue import Room, Stream
from shared.dead_letters import list_dead
from shared.domain import Cell, ClosingReason, ImageCategory, ModelVersion, QuestionType, RejectionReason, Strategy
from shared.events import CandidatesGenerated, CandidatesReviewed, DatasetReady, Event, GenerationRequested, PlanClosed, WeaknessReport
from shared.history import consumer_lag, follow, scan
from shared.publisher import publish_event
from shared.registry import GeneratorRegistry
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import CANDIDATES, Sample, read_samples, write_probes
from tests.broker import NatsServer
from tests.contract.s3_endpoint import KEY, SECRET, free_port, serve_s3
from tests.examples import CAUSE
from tests.rooms import eventually, serving
from tests.settings import room_settings
from tests.unit.planner.planted import REF, diagnosed, run_spec

HERE = Path(__file__).parent
README = HERE.parents[1] / "services" / "generators" / "README.md"
PROTO = HERE.parents[1] / "proto" / "gen"
CELLS = tuple(Cell(ImageCategory.ARCHITECTURAL, question_type) for question_type in QuestionType)
COUNT = Cell(ImageCategory.ARCHITECTURAL, QuestionType.NUMERIC)
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


@pytest.fixture
async def stage(bus: Bus, settings: RoomSettings, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(bus, settings, tmp_path) as one:
        yield one


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


def test_it_knows_the_proto_and_nothing_else_of_spiral() -> None:
    for path in HERE.glob("*.py"):
        if path.name.startswith("test_"):
            continue
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in imported} & {"shared", "services", "deploy", "tests"}


def test_the_reference_names_the_columns_and_queries_that_quality_reads() -> None:
    text = README.with_name("scene.md").read_text(encoding="utf-8")
    columns, queries = text.split("## `spiral.scene/1`")
    assert re.findall(r"^\| `(\w+)` \|", columns, re.MULTILINE) == CANDIDATES.names
    rows = re.findall(r"^\| (`.*?) \|", queries, re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"\w+", row) if row != "`op`"]
    known = [name for query in get_args(get_args(Query)[0]) for name in get_args(query.model_fields["op"].annotation)]
    assert sorted(documented) == sorted(known)
    (example,) = re.findall(r"```json\n(.*?)```", queries, re.DOTALL)
    assert derive(parse_scene(example)) == 1


async def test_from_the_registry_to_accepted_samples_and_a_clean_goodbye(stage: Stage) -> None:
    with stage.generator() as process:
        await stage.living()
        await stage.ask()
        check_whole(*await stage.sealed())
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
        await stage.living(0)
    assert not await list_dead(stage.bus)


async def test_on_an_s3_server(settings: RoomSettings, tmp_path: Path) -> None:
    (tmp_path / "s3" / "spiral").mkdir(parents=True)
    port = free_port()
    own = settings.model_copy(update={"store_url": f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/spiral/some/prefix"})
    with serve_s3(tmp_path / "s3", port):
        async with connect(own, "test") as bus:
            await bus.declare_streams()
            async with staged(bus, own, tmp_path) as stage:
                with stage.generator():
                    await stage.living()
                    await stage.ask()
                    check_whole(*await stage.sealed())


async def test_as_a_user_of_its_own_with_the_permissions_that_the_readme_gives(tmp_path: Path) -> None:
    (user,) = re.findall(r"^```\n(\{\n  user: thirdparty\n.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    users = f'NATS_THIRDPARTY_PASSWORD: "theirs"\nauthorization {{ users: [ {{ user: rooms, password: "ours" }}, {user} ] }}'
    server = NatsServer(tmp_path / "nats", more=users)
    server.start()
    own = room_settings(server, tmp_path, bus_url=server.url.replace("//", "//rooms:ours@"))
    try:
        async with connect(own, "test") as bus:
            await bus.declare_streams()
            async with staged(bus, own, tmp_path) as stage:
                stage.generator_bus_url = server.url.replace("//", "//thirdparty:theirs@")
                with stage.generator() as process:
                    await stage.living()
                    await stage.ask()
                    check_whole(*await stage.sealed())
                    process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(process.wait, 15) == 0
                    await stage.living(0)
                assert "iolation" not in stage.log.read_text()
    finally:
        server.stop()


async def test_killed_with_a_lease_in_its_hands_and_started_again(stage: Stage, tmp_path: Path) -> None:
    with stage.generator("misbehaving.py", "waiting", str(tmp_path / "never")) as process:
        await stage.living()
        await stage.ask()
        await stage.holds_a_lease()
        process.kill()
        with stage.generator():
            check_whole(*await stage.sealed())


async def test_frozen_until_another_replica_answered_in_its_place(stage: Stage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with stage.generator("misbehaving.py", "waiting", str(gate)) as frozen:
        await stage.living()
        await stage.ask()
        await stage.holds_a_lease()
        frozen.send_signal(signal.SIGSTOP)
        with stage.generator() as other:
            events, samples = await stage.sealed()
            other.send_signal(signal.SIGTERM)
            await asyncio.to_thread(other.wait, 15)
        gate.touch()
        frozen.send_signal(signal.SIGCONT)
        frozen.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(frozen.wait, 15) == 0
    assert "handed back" not in stage.log.read_text()
    check_whole(events, samples)
    num_answers = len([stored async for stored in scan(stage.bus, Stream.WORK, ["candidates.generated.run"])])
    assert num_answers == sum(isinstance(event, CandidatesGenerated) for event in events)


async def test_a_wrong_answer_is_refused_and_replaced(stage: Stage) -> None:
    with stage.generator("misbehaving.py", "lying"):
        await stage.living()
        await stage.ask()
        events, samples = await stage.sealed()
    check_whole(events, samples)
    reviews = [event for event in events if isinstance(event, CandidatesReviewed)]
    wrong = {review.lease.lease_id: review.verdicts[0] for review in reviews if review.lease.cell == COUNT}
    assert len(wrong) > 1
    assert {verdict.reason for verdict in wrong.values()} == {RejectionReason.WRONG_ANSWER}
    assert "the label is '99'" in next(iter(wrong.values())).detail
    assert not [sample for sample in samples if sample.answer == "99"]


async def test_a_malformed_table_is_a_dead_letter_and_costs_its_lease_alone(stage: Stage) -> None:
    with stage.generator("misbehaving.py", "malformed"):
        await stage.living()
        await stage.ask()
        events, samples = await stage.sealed()
    check_whole(events, samples)
    (letter,) = await list_dead(stage.bus)
    assert letter.obituary.room == "quality"
    assert "run.1.architectural.text.1" in letter.obituary.reason
    assert "is not a Parquet file" in letter.obituary.reason
    assert [event.lease.lease_id for event in events if isinstance(event, CandidatesReviewed) and not event.verdicts] == [
        "run.1.architectural.text.1"
    ]
