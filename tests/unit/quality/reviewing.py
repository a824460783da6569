"""Quality on a directory store, with pass rates that are read from a table."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from services.quality.content_screen import PersonalDataScreen
from services.quality.difficulty import Rollouts
from services.quality.judges import Judges
from services.quality.known_samples import KnownSamples
from services.quality.pass_rates import PassRates
from services.quality.reviewing import Reviewing
from services.quality.service import Quality
from shared.artifacts import Artifacts
from shared.domain import Candidate, ClosingReason, GeneratorIdentity, Lease
from shared.errors import Retryable
from shared.events import CandidatesGenerated, CandidatesReviewed, DatasetReady, Event, PlanClosed
from shared.llm.port import LanguageModels
from shared.ports import Cause, Conflict, Delivery, Entry
from shared.run_spec import QualitySpec, RunSpec
from shared.service import Ports
from shared.store import ObjectStore
from shared.store_directory import DirectoryStore
from shared.tables import Probe, write_candidates, write_probes
from tests.examples import model, run_spec

GENERATOR = GeneratorIdentity("rendered", "1.0.0", "replica-a")


def delivery(event_id: str = "cause") -> Delivery:
    return Delivery(Cause(event_id, 1_700_000_000_000_000_000), 1, "candidates.generated.r1")


class TableRates:
    """A policy that solves `solved(id)` of 8 rollouts; remembers what it was asked, and may be away."""

    def __init__(self, solved: Callable[[str], int] = lambda _: 4) -> None:
        self._solved = solved
        self.asked: list[tuple[int, list[str]]] = []
        self.is_away = False

    async def ask(self, candidates: Sequence[Candidate], lease: Lease, spec: RunSpec, *, turn: int) -> dict[str, Rollouts]:
        if self.is_away:
            raise Retryable("the evaluator is away")
        self.asked.append((turn, [candidate.candidate_id for candidate in candidates]))
        return {candidate.candidate_id: Rollouts(8, self._solved(candidate.candidate_id)) for candidate in candidates}


class MemoryBucket:
    """The `KeyValue` of one process."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._last = 0

    async def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    async def create(self, key: str, value: bytes) -> int:
        if key in self.entries:
            raise Conflict(key)
        return await self.put(key, value)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        if key not in self.entries or self.entries[key].revision != revision:
            raise Conflict(key)
        return await self.put(key, value)

    async def put(self, key: str, value: bytes) -> int:
        self._last += 1
        self.entries[key] = Entry(value, self._last)
        return self._last

    async def delete(self, key: str) -> None:
        self.entries.pop(key, None)

    async def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.entries if key.startswith(prefix))


@dataclass
class FailingStore:
    """A store that loses its connection after a number of writes."""

    store: ObjectStore
    num_left: int = 1 << 30

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def put_bytes(self, key: str, payload: bytes) -> None:
        self._count()
        await self.store.put_bytes(key, payload)

    async def create(self, key: str, payload: bytes) -> bool:
        self._count()
        return await self.store.create(key, payload)

    def _count(self) -> None:
        if not self.num_left:
            raise Retryable("the store is away")
        self.num_left -= 1


@dataclass
class Desk:
    """Quality with a run's inputs in its store."""

    artifacts: Artifacts
    store: FailingStore
    spec: RunSpec
    rates: TableRates
    models: LanguageModels | None = None
    buckets: dict[str, MemoryBucket] = field(default_factory=dict)
    quality: Quality = field(init=False)

    def __post_init__(self) -> None:
        self.quality = self.fresh()

    def fresh(self) -> Quality:
        """Quality as after a restart: nothing in memory."""
        desk = self

        class _Runs:
            async def get(self, run_id: str) -> RunSpec:
                return desk.spec

        class _Idle:
            def report(self, what: str, **numbers: object) -> None:
                return

        class _Ports:
            runs = _Runs()
            artifacts = self.artifacts
            activity = _Idle()

        ports, known = cast(Ports, _Ports), KnownSamples(self.artifacts, self.bucket)
        judges = Judges(self.models, [PersonalDataScreen()])
        return Quality(ports, known, Reviewing(ports, known, judges, cast(PassRates, self.rates), window_confidence=0.8))

    async def bucket(self, name: str) -> MemoryBucket:
        return self.buckets.setdefault(name, MemoryBucket())

    async def generated(self, asked_for: Lease, candidates: Sequence[Candidate], iteration: int = 1) -> CandidatesGenerated:
        ref = await self.artifacts.put_bytes(write_candidates(candidates))
        return CandidatesGenerated("r1", iteration, asked_for, ref, len(candidates), GENERATOR)

    async def heard(
        self, event: CandidatesGenerated, cause: str = "cause", quality: Quality | None = None, *, into: list[Event] | None = None
    ) -> list[Event]:
        """What quality says to an event, as far as it comes."""
        said = [] if into is None else into
        async for event_said in (quality or self.quality).on_candidates_generated(event, delivery(cause)):
            said.append(event_said)
        return said

    async def review(self, asked_for: Lease, candidates: Sequence[Candidate], iteration: int = 1) -> CandidatesReviewed:
        event = await self.generated(asked_for, candidates, iteration)
        (reviewed,) = await self.heard(event, asked_for.lease_id)
        return cast(CandidatesReviewed, reviewed)

    async def seal(self, lease_ids: Sequence[str], iteration: int = 1) -> DatasetReady:
        (ready,) = await self.quality.on_plan_closed(plan_closed(lease_ids, iteration), delivery(f"closed {iteration}"))
        return cast(DatasetReady, ready)


def plan_closed(lease_ids: Sequence[str], iteration: int = 1) -> PlanClosed:
    return PlanClosed("r1", iteration, ClosingReason.QUOTAS_MET, tuple(lease_ids), (), model("r1"), 0.2)


def as_probe(made: Candidate, split: str = "core") -> Probe:
    return Probe(made.candidate_id[:8], split, made.cell, made.image, made.question, made.choices, made.answer, made.tolerance)


@asynccontextmanager
async def desk(
    directory: Path,
    *,
    probes: Sequence[Probe] = (),
    exam: Sequence[Probe] = (),
    rates: TableRates | None = None,
    models: LanguageModels | None = None,
) -> AsyncIterator[Desk]:
    async with DirectoryStore(directory / "objects") as store:
        failing = FailingStore(store)
        artifacts = Artifacts(cast(ObjectStore, failing), cache_dir=directory / "cache", producer="quality")
        spec = replace(
            run_spec("r1"),
            num_iterations=3,
            probes=await artifacts.put_bytes(write_probes(probes)),
            exam=await artifacts.put_bytes(write_probes(exam)),
            quality=QualitySpec(),
        )
        yield Desk(artifacts, failing, spec, rates or TableRates(), models)


async def all_names(artifacts: Artifacts) -> list[str]:
    return await artifacts.names("runs/")
