"""The trainer over a real object store, with the run's specification and the bucket of cancellations kept in this process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.trainer.job import Hardware
from services.trainer.service import Trainer, TrainerServicer
from services.trainer.trainings import Trainings
from shared.artifacts import Artifacts
from shared.catalogue import Room
from shared.domain import ArtifactRef, ModelVersion
from shared.errors import NotFound
from shared.events import DatasetReady, Event
from shared.ports import Cause, Conflict, Delivery, Entry
from shared.registry import GeneratorRegistry
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, RunSpec, TrainingSpec
from shared.service import Keyed, Ports
from shared.store import open_store_url
from shared.tables import Sample, write_samples

RUN = "a-run"


class Memory:
    """A bucket in memory."""

    def __init__(self) -> None:
        self._values: dict[str, Entry] = {}

    async def get(self, key: str) -> Entry | None:
        return self._values.get(key)

    async def create(self, key: str, value: bytes) -> int:
        if key in self._values:
            raise Conflict(key)
        return await self.put(key, value)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        if key not in self._values or self._values[key].revision != revision:
            raise Conflict(key)
        return await self.put(key, value)

    async def put(self, key: str, value: bytes) -> int:
        revision = self._values[key].revision + 1 if key in self._values else 1
        self._values[key] = Entry(value, revision)
        return revision

    async def delete(self, key: str) -> None:
        self._values.pop(key, None)

    async def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._values if key.startswith(prefix))


@dataclass
class OneRun:
    """The only run there is."""

    spec: RunSpec

    async def get(self, run_id: str) -> RunSpec:
        if run_id != self.spec.run_id:
            raise NotFound(run_id)
        return self.spec

    async def unfinished(self) -> list[RunSpec]:
        return [self.spec]


class Silent:
    """Nobody watches."""

    def report(self, what: str, *, run_id: str = "", num_done: int = 0, num_total: int = 0) -> None:
        pass


@dataclass
class TrainerRoom:
    """A trainer, and what a test says to it."""

    artifacts: Artifacts
    trainer: Trainer
    servicer: TrainerServicer
    spec: RunSpec
    directory: Path
    base: ModelVersion

    async def dataset(self, samples: Sequence[Sample], *, iteration: int = 1) -> DatasetReady:
        """The announcement of a sealed dataset."""
        return await self.dataset_of(write_samples(samples), num_samples=len(samples), iteration=iteration)

    async def dataset_of(self, payload: bytes, *, num_samples: int = 1, iteration: int = 1) -> DatasetReady:
        """The announcement of a dataset with these bytes as its only file."""
        blob = await self.artifacts.put_bytes(payload)
        name = f"runs/{RUN}/{iteration}/dataset-{blob.sha256[:8]}"
        ref = await self.artifacts.commit(name, {"samples.parquet": blob}, cause=Cause("quality", 1))
        return DatasetReady(RUN, iteration, ref, self.base, num_samples, (), 0.0)

    def handle(self, event: DatasetReady) -> AsyncIterator[Event | Keyed]:
        """The trainer's answer to a delivery."""
        return self.trainer.on_dataset_ready(event, Delivery(Cause("dataset-event", 5), 1, f"dataset.ready.{RUN}"))

    async def outcome(self, event: DatasetReady) -> tuple[list[Keyed], Event]:
        """Progress and the last event of a handling that goes well."""
        said = [consequence async for consequence in self.handle(event)]
        progress = [consequence for consequence in said if isinstance(consequence, Keyed)]
        assert not isinstance(said[-1], Keyed)
        return progress, said[-1]

    def working_directories(self) -> list[Path]:
        """What unfinished trainings have left."""
        trainings = self.directory / "trainings"
        return sorted(trainings.iterdir()) if trainings.is_dir() else []


@asynccontextmanager
async def open_trainer(directory: Path, base: Path, training: TrainingSpec, *, stop_grace_s: float = 20.0) -> AsyncIterator[TrainerRoom]:
    """A trainer on `directory`, which may hold what an earlier one left; the base model is a checkpoint directory."""
    store_directory = directory / "store"
    store_directory.mkdir(parents=True, exist_ok=True)
    async with open_store_url(f"file://{store_directory}") as store:
        artifacts = Artifacts(store, cache_dir=directory / "cache", producer=Room.TRAINER.value)
        checkpoint = await artifacts.commit_directory(f"runs/{RUN}/base", base, cause=Cause("operator", 0))
        nothing = ArtifactRef("spiral://blobs/sha256/00/00", "0" * 64, 0)
        spec = RunSpec(
            run_id=RUN,
            created_at_ns=1,
            seed=11,
            num_iterations=2,
            base_checkpoint=checkpoint,
            probes=nothing,
            exam=nothing,
            evaluation=EvaluationSpec(),
            planning=PlanningSpec(),
            quality=QualitySpec(),
            training=training,
        )
        bucket = Memory()

        async def open_bucket(name: str) -> Memory:
            return bucket

        async def registry(name: str, ttl_s: float) -> Memory:
            return Memory()

        def no_channel(room: Room) -> object:
            raise AssertionError(f"the trainer calls no other room, but asked for {room}")

        ports = Ports(
            runs=OneRun(spec),
            artifacts=artifacts,
            activity=Silent(),
            instance_id="test",
            bucket=open_bucket,
            channel=no_channel,  # type: ignore[arg-type]
            generators=GeneratorRegistry(registry),
            drain=lambda: None,
            grpc_address=lambda: "",
        )
        trainings = Trainings(bucket)
        trainer = Trainer(
            ports,
            trainings,
            directory=directory / "trainings",
            hardware=Hardware(device="cpu", num_threads=1),
            stop_grace_s=stop_grace_s,
        )
        yield TrainerRoom(artifacts, trainer, TrainerServicer(trainings), spec, directory, ModelVersion(f"{RUN}/0", 0, checkpoint))
