"""The trainer's handler, its gRPC service and what it says again after a crash."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc.aio
from spiral.v1 import trainer_pb2, trainer_pb2_grpc

from services.trainer.child_process import Cancelled, TrainingProcess
from services.trainer.job import Finished, Hardware, Job, Progress, SampleFile, check_training
from services.trainer.settings import TrainerSettings
from services.trainer.trainings import BUCKET, State, Trainings
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, ModelVersion
from shared.errors import BadConfiguration, Rejected, SpiralError
from shared.events import DatasetReady, Event, ModelUpdated, TrainingProgressed
from shared.ports import Cause, Delivery
from shared.run_spec import RunSpec
from shared.service import Keyed, Ports, Service, Servicer
from shared.wire import enum_to_wire
from shared.wire_json import from_json, to_json


class Trainer:
    """Trains on every sealed dataset and publishes the checkpoint."""

    def __init__(self, ports: Ports, trainings: Trainings, *, directory: Path, hardware: Hardware, stop_grace_s: float) -> None:
        """Takes the ports, the book of trainings, and a directory in which unfinished trainings survive a crash of this process."""
        self._ports = ports
        self._trainings = trainings
        self._directory = directory
        self._hardware = hardware
        self._stop_grace_s = stop_grace_s

    async def on_dataset_ready(self, event: DatasetReady, delivery: Delivery) -> AsyncGenerator[Event | Keyed, None]:
        """Trains in a child process; yields progress, and at last the new model, whose checkpoint is committed by then.

        Raises:
            Rejected: the dataset, the base model or the specification is at fault, the loss is not finite, or somebody cancelled.
            Retryable: the child crashed; the next attempt continues from its last checkpoint.
        """
        name = checkpoint_name(event.run_id, event.iteration)
        standing = await self._ports.artifacts.find(name)
        if standing is not None:
            yield await announcement(self._ports.artifacts, event.run_id, standing)
            return
        training_id = f"{event.run_id}/{event.iteration}"
        if await self._trainings.is_cancelled(training_id):
            raise Cancelled(f"training {training_id} was cancelled")
        self._ports.activity.report("preparing", run_id=event.run_id)
        try:
            job = await self._prepare(event, training_id)
            process = TrainingProcess(job, stop_grace_s=self._stop_grace_s)
            self._trainings.start(training_id, process)
            state, explanation = State.FAILED, "handed back before its end"
            try:
                async with aclosing(process.reports()) as reports:
                    async for report in reports:
                        if isinstance(report, Finished):
                            ref = await self._commit(event, name, report, delivery.cause)
                        else:
                            self._note(event.run_id, training_id, report)
                            yield Keyed(_progressed(event, training_id, report), key=f"{report.recipe}/{report.step}")
                state, explanation = State.SUCCEEDED, ""
            except SpiralError as error:
                state = State.CANCELLED if isinstance(error, Cancelled) else State.FAILED
                explanation = str(error)
                if isinstance(error, Rejected):
                    await _remove(job.directory)
                raise
            finally:
                self._trainings.end(training_id, state, explanation)
            await _remove(job.directory)
            yield await announcement(self._ports.artifacts, event.run_id, ref)
        finally:
            self._ports.activity.report("")

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """Every checkpoint of a run that was committed by a trainer, with its announcement."""
        said: list[tuple[Cause, Sequence[Event]]] = []
        for iteration in range(1, spec.num_iterations + 1):
            ref = await self._ports.artifacts.find(checkpoint_name(spec.run_id, iteration))
            if ref is not None:
                manifest = await self._ports.artifacts.manifest(ref)
                said.append((manifest.cause, [await announcement(self._ports.artifacts, spec.run_id, ref)]))
        return said

    async def _prepare(self, event: DatasetReady, training_id: str) -> Job:
        spec = await self._ports.runs.get(event.run_id)
        check_training(spec.training)
        if event.iteration < 1:
            raise Rejected("a dataset of iteration 0 can't be trained on: iteration 0 is the evaluation of the base model")
        if not 0 <= event.replay_share < 1:
            raise Rejected(f"dataset.ready: replay_share is {event.replay_share}: it must lie in [0, 1)")
        seed = hashlib.sha256(f"{spec.seed}/{training_id}".encode()).digest()
        job = Job(
            training_id=training_id,
            seed=int.from_bytes(seed[:4], "big") >> 1,
            base_model_id=event.base_model.model_id,
            base_sha256=event.base_model.checkpoint.sha256,
            base_directory=await self._ports.artifacts.fetch_directory(event.base_model.checkpoint),
            dataset_sha256=event.dataset.sha256,
            dataset_files=await self._sample_files(event.dataset),
            replay_sha256s=tuple(ref.sha256 for ref in event.replay_datasets),
            replay_files=tuple([file for ref in event.replay_datasets for file in await self._sample_files(ref)]),
            replay_share=event.replay_share,
            held_back=tuple(map(str, event.held_back)),
            training=spec.training,
            hardware=self._hardware,
            directory=self._directory,
        )
        return job.model_copy(update={"directory": self._directory / f"{training_id.replace('/', '-')}-{job.digest()[:16]}"})

    async def _sample_files(self, dataset: ArtifactRef) -> tuple[SampleFile, ...]:
        directory = await self._ports.artifacts.fetch_directory(dataset)
        paths = sorted(directory.rglob("*.parquet"))
        if not paths:
            raise Rejected(f"{dataset.uri} holds no Parquet file: it is no dataset")
        return tuple(SampleFile(path=path, name=f"{dataset.uri}#{path.relative_to(directory).as_posix()}") for path in paths)

    async def _commit(self, event: DatasetReady, name: str, finished: Finished, cause: Cause) -> ArtifactRef:
        model = {
            "iteration": event.iteration,
            "model_id": f"{event.run_id}/{event.iteration}",
            "parent_model_id": event.base_model.model_id,
        }
        stages = [stage.model_dump(mode="json") for stage in finished.stages]
        return await self._ports.artifacts.commit_directory(
            name, finished.export, cause=cause, metadata={"model": model, "dataset": to_json(event.dataset), "stages": stages}
        )

    def _note(self, run_id: str, training_id: str, progress: Progress) -> None:
        self._trainings.advance(training_id, progress)
        self._ports.activity.report(f"training ({progress.recipe})", run_id=run_id, num_done=progress.step, num_total=progress.num_steps)


def checkpoint_name(run_id: str, iteration: int) -> str:
    """The manifest of an iteration's checkpoint."""
    return f"runs/{run_id}/{iteration}/checkpoint"


async def announcement(artifacts: Artifacts, run_id: str, checkpoint: ArtifactRef) -> ModelUpdated:
    """What a committed checkpoint has to say, from its manifest alone; always the same."""
    metadata: Mapping[str, Any] = (await artifacts.manifest(checkpoint)).metadata
    told = metadata["model"]
    model = ModelVersion(told["model_id"], told["iteration"], checkpoint, told["parent_model_id"])
    return ModelUpdated(run_id=run_id, iteration=model.iteration, model=model, dataset=from_json(ArtifactRef, metadata["dataset"]))


async def _remove(directory: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _progressed(event: DatasetReady, training_id: str, progress: Progress) -> TrainingProgressed:
    return TrainingProgressed(
        run_id=event.run_id, iteration=event.iteration, training_id=training_id, **progress.model_dump(exclude={"kind"})
    )


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Watching and cancelling trainings, over gRPC."""

    def __init__(self, trainings: Trainings) -> None:
        self._trainings = trainings

    async def GetTraining(  # noqa: N802
        self, request: trainer_pb2.GetTrainingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> trainer_pb2.GetTrainingResponse:
        """Where a training stands."""
        training = self._trainings.get(request.training_id)
        return trainer_pb2.GetTrainingResponse(
            training_id=training.training_id,
            state=trainer_pb2.TrainingState.Value(f"TRAINING_STATE_{training.state}"),
            recipe=enum_to_wire(training.recipe) if training.recipe else 0,  # type: ignore[arg-type]
            step=training.step,
            num_steps=training.num_steps,
            explanation=training.explanation,
        )

    async def CancelTraining(  # noqa: N802
        self, request: trainer_pb2.CancelTrainingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> trainer_pb2.CancelTrainingResponse:
        """Stops a training for good."""
        await self._trainings.cancel(request.training_id)
        return trainer_pb2.CancelTrainingResponse()


@asynccontextmanager
async def build(ports: Ports, settings: TrainerSettings) -> AsyncIterator[Service]:
    """The trainer, ready to run.

    Raises:
        BadConfiguration: the training processes would find no torch or TRL.
    """
    missing = [name for name in ("torch", "trl") if find_spec(name) is None]
    if missing:
        raise BadConfiguration(
            f"{' and '.join(missing)} is not installed, so nothing can be trained: use the room's own image, or `make setup`"
        )
    trainings = Trainings(await ports.bucket(BUCKET))
    trainer = Trainer(
        ports,
        trainings,
        directory=settings.work_dir / "trainings",
        hardware=settings.hardware(),
        stop_grace_s=settings.training_stop_grace_s,
    )
    yield Service(
        handlers={DatasetReady: trainer.on_dataset_ready},
        servicers=(
            Servicer("spiral.v1.TrainerService", trainer_pb2_grpc.add_TrainerServiceServicer_to_server, TrainerServicer(trainings)),
        ),
        reconcile=trainer.reconcile,
    )
