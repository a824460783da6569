"""Version 2 of `rendered` replaces version 1 beside a running embedded stack that has its hands full.

No model is involved: all cells are taught, so quality asks nobody for pass rates.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from deploy.local.stack import LocalStack
from services.cli.session import Session, Target, open_session
from services.generators.rendered.candidates import CELLS, KIND, VERSION, make_candidates
from shared.cancellation import end
from shared.catalogue import BY_MESSAGE, Room, Stream, durable_name
from shared.domain import Lease, Recipe, Strategy
from shared.events import CandidatesGenerated, DatasetReady, GenerationRequested, WeaknessReport
from shared.history import follow
from shared.publisher import publish_event
from shared.run_spec import PlanningSpec, RunSpec, TrainingSpec
from shared.tables import Probe, write_probes
from tests.examples import CAUSE, artifact, model, run_spec
from tests.rooms import eventually
from tests.unit.planner.planted import diagnosed

ROOT = Path(__file__).parents[1]
NOBODY_ASKS = {"SPIRAL_EVALUATOR_ADDRESS": "127.0.0.1:9"}
NEXT_VERSION = "2.0.0"
RUN_ID = "swap"
PATIENCE_S = 100.0
NUM_QUEUED = 64
"""Leases that wait for the generators at any time."""


@dataclass(frozen=True)
class Swapped:
    """When the swap began and ended, and what the operator was told."""

    began_ns: int
    joined_ns: int
    ended_ns: int
    drain_output: str


@asynccontextmanager
async def loaded_stack(state_dir: Path, *, num_samples: int, lease_size: int) -> AsyncIterator[tuple[LocalStack, Session]]:
    """Planner, generators and quality at work on a plan for every cell that `rendered` serves."""
    async with _stack(state_dir, ("planner", "generators.rendered", "quality")) as (stack, session):
        await ask_for_all_cells(session, num_samples=num_samples, lease_size=lease_size)
        yield stack, session


async def ask_for_all_cells(session: Session, *, num_samples: int, lease_size: int) -> None:
    """Makes the run known to a stack that is up, and reports a weakness in every cell that `rendered` serves: a plan follows."""
    planning = PlanningSpec(strategy=Strategy.UNIFORM, num_samples=num_samples, max_candidates=4 * num_samples, lease_size=lease_size)
    await session.runs.create(await _spec(session, planning))
    cells = tuple(diagnosed(cell, 30) for cell in CELLS)
    await publish_event(session.bus, Room.ATTRIBUTOR, CAUSE, WeaknessReport(RUN_ID, 0, model(RUN_ID), artifact("answers"), cells))


@asynccontextmanager
async def idle_stack(state_dir: Path, *rooms: str) -> AsyncIterator[tuple[LocalStack, Session]]:
    """Some rooms that know of the run; what they shall do the caller says."""
    async with _stack(state_dir, rooms) as (stack, session):
        await session.runs.create(await _spec(session, PlanningSpec()))
        yield stack, session


@asynccontextmanager
async def _stack(state_dir: Path, rooms: Sequence[str]) -> AsyncIterator[tuple[LocalStack, Session]]:
    async with LocalStack(state_dir, rooms=rooms, environment=NOBODY_ASKS) as stack:
        await stack.ready()
        async with open_session(Target(stack.info.bus_url, stack.info.store_url, state_dir)) as session:
            yield stack, session


async def _spec(session: Session, planning: PlanningSpec) -> RunSpec:
    def probes(split: str, seed: int) -> list[Probe]:
        made = [make_candidates(cell, 1, seed, 0.5, 64)[0] for cell in CELLS]
        return [
            Probe(f"{split}-{at}", split, one.cell, one.image, one.question, one.choices, one.answer, one.tolerance)
            for at, one in enumerate(made)
        ]

    return replace(
        run_spec(RUN_ID),
        created_at_ns=time.time_ns(),
        probes=await session.artifacts.put_bytes(write_probes(probes("core", 1))),
        exam=await session.artifacts.put_bytes(write_probes(probes("exam", 2))),
        planning=planning,
        training=TrainingSpec(recipe="sft"),
    )


def next_version(directory: Path) -> Path:
    """A copy of the source in which `rendered` has the next version; compiled files come along, as in an installed one."""
    for folder in ("shared", "services", "deploy", "proto"):
        shutil.copytree(ROOT / folder, directory / folder, ignore=shutil.ignore_patterns("base_model"))
    file = directory / "services" / "generators" / "rendered" / "candidates.py"
    before = file.read_text()
    after = before.replace(f'VERSION = "{VERSION}"', f'VERSION = "{NEXT_VERSION}"')
    assert after != before
    file.write_text(after)
    return directory


@asynccontextmanager
async def swapped(session: Session, state_dir: Path, source: Path) -> AsyncIterator[Swapped]:
    """Has started the version of a source tree as a user would, waited until it serves, and drained the former one; it serves on."""
    (former,) = await session.generators.living()

    async def serves() -> bool:
        return any(entry.generator.version == NEXT_VERSION for entry in await session.generators.living())

    began_ns = time.time_ns()
    async with starting(source, state_dir):
        await eventually(serves, 60)
        joined_ns = time.time_ns()
        code, output = await spiral(ROOT, "generators", "drain", former.generator.instance_id, "--state-dir", str(state_dir))
        if code:
            raise RuntimeError(f"drain ended with {code}:\n{output}")
        yield Swapped(began_ns, joined_ns, time.time_ns(), output)


@asynccontextmanager
async def starting(source: Path, state_dir: Path) -> AsyncIterator[None]:
    """`spiral generators start` from a source tree; drained on exit."""
    process = await _spiral(source, "generators", "start", "--state-dir", str(state_dir))
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    if process.returncode:
        raise RuntimeError(f"spiral generators start ended with {process.returncode}:\n{out.decode()}")


class Feeder:
    """Issues leases as the planner would, so fast that the generators never wait for one."""

    def __init__(self, session: Session, *, lease_size: int) -> None:
        self.leases: list[Lease] = []
        self._session = session
        self._lease_size = lease_size
        self._durable = durable_name(Room.GENERATORS, BY_MESSAGE[GenerationRequested], KIND)

    async def __aenter__(self) -> Self:
        self._feeding = asyncio.create_task(self._feed())
        return self

    async def __aexit__(self, *error: object) -> None:
        await end([self._feeding])

    async def finish(self) -> None:
        """Issues no more, and returns once every lease is answered."""
        await end([self._feeding])
        await eventually(self._is_idle, PATIENCE_S)

    async def _feed(self) -> None:
        while True:
            await asyncio.gather(*(self._issue() for _ in range(NUM_QUEUED - await self._num_queued())))
            await asyncio.sleep(0.05)

    async def _issue(self) -> None:
        ordinal = len(self.leases)
        cell = CELLS[ordinal % len(CELLS)]
        lease_id = f"{RUN_ID}.1.{cell.category.value}.{cell.question_type.value}.{ordinal}"
        lease = Lease(lease_id, cell, Recipe.TEACH, KIND, ordinal, self._lease_size, self._lease_size, ordinal, 0.3, 64, model(RUN_ID))
        self.leases.append(lease)
        await publish_event(self._session.bus, Room.PLANNER, replace(CAUSE, event_id=lease_id), GenerationRequested(RUN_ID, 1, lease))

    async def _num_queued(self) -> int:
        info = await self._session.bus.js.consumer_info(Stream.WORK.value, self._durable)
        return info.num_pending or 0

    async def _is_idle(self) -> bool:
        info = await self._session.bus.js.consumer_info(Stream.WORK.value, self._durable)
        return not info.num_pending and not info.num_ack_pending


async def arrived(session: Session, num_candidates: int, *, since_ns: int = 0) -> None:
    """Returns once so many candidates were announced, after a moment."""
    seen = 0
    async with asyncio.timeout(PATIENCE_S), aclosing(follow(session.bus, RUN_ID)) as events:
        async for _, event, at in events:
            if isinstance(event, CandidatesGenerated) and at.timestamp() * 1e9 > since_ns:
                seen += event.num_candidates
            if seen >= num_candidates:
                return


async def sealed(session: Session) -> DatasetReady:
    """The dataset of the plan, once it is ready."""
    async with asyncio.timeout(PATIENCE_S), aclosing(follow(session.bus, RUN_ID)) as events:
        async for _, event, _ in events:
            if isinstance(event, DatasetReady):
                return event
    raise RuntimeError("the events of the run ended before its dataset")


async def spiral(source: Path, *arguments: str) -> tuple[int, str]:
    """Runs a command of a source tree's `spiral`; its exit code, and what it said."""
    process = await _spiral(source, *arguments)
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, out.decode()


async def _spiral(source: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments), cwd=source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
