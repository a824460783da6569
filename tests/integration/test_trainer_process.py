"""The trainer as its own process on a real broker."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc.aio
import psutil
import pytest
from spiral.v1 import trainer_pb2, trainer_pb2_grpc

from deploy.local.base_model.architecture import build_model, build_processor
from deploy.local.base_model.tokenizer import train_tokenizer
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.domain import ModelVersion
from shared.events import DatasetReady, ModelUpdated, TrainingProgressed
from shared.history import follow
from shared.ports import Cause
from shared.presence import present
from shared.prompt import render_question
from shared.publisher import publish_event
from shared.run_spec import TrainingSpec
from shared.runs import BusRuns
from shared.settings import RoomSettings
from shared.store import open_store_url
from shared.tables import Sample, write_samples
from tests.examples import run_spec
from tests.integration.trainer_room import RUN
from tests.rooms import serving
from tests.unit.trainer.drawn import draw_samples

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]


@contextmanager
def trainer_process(settings: RoomSettings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m services.trainer`, until the block is left."""
    environment = os.environ | {
        "SPIRAL_BUS_URL": settings.bus_url,
        "SPIRAL_STORE_URL": settings.store_url,
        "SPIRAL_WORK_DIR": str(settings.work_dir),
        "SPIRAL_ACK_WAIT_S": "2",
        "SPIRAL_BACKOFF_S": "0.1",
        "SPIRAL_TRAINING_DEVICE": "cpu",
        "SPIRAL_TRAINING_THREADS": "1",
    }
    with log.open("ab") as output, subprocess.Popen([sys.executable, "-m", "services.trainer"], env=environment, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


def build_base(directory: Path, samples: Sequence[Sample]) -> None:
    """A tiny base model."""
    texts = [f"{render_question(s.question, s.cell.question_type, s.choices)} {s.answer}" for s in samples]
    tokenizer = train_tokenizer(texts, 400)
    build_model("qwen3_vl", len(tokenizer), 0).save_pretrained(directory)
    build_processor("qwen3_vl", tokenizer).save_pretrained(directory)


async def sealed_dataset(settings: RoomSettings, directory: Path, samples: Sequence[Sample]) -> tuple[ModelVersion, DatasetReady]:
    """The base model and a dataset in the store, and what announces them."""
    async with open_store_url(settings.store_url) as store:
        artifacts = Artifacts(store, cache_dir=directory / "cache", producer=Room.QUALITY.value)
        base = await artifacts.commit_directory(f"runs/{RUN}/base", directory / "base", cause=Cause("operator", 1))
        blob = await artifacts.put_bytes(write_samples(samples))
        dataset = await artifacts.commit(f"runs/{RUN}/1/dataset", {"samples.parquet": blob}, cause=Cause("plan-closed", 1))
    model = ModelVersion(f"{RUN}/0", 0, base)
    return model, DatasetReady(RUN, 1, dataset, model, len(samples), (), 0.0)


async def test_a_killed_trainer_continues_after_its_restart_and_says_model_updated_once(
    bus: Bus, settings: RoomSettings, tmp_path: Path
) -> None:
    samples = draw_samples(48, seed=1)
    build_base(tmp_path / "base", samples)
    model, ready = await sealed_dataset(settings, tmp_path, samples)
    training = TrainingSpec(recipe="sft", sft_epochs=30, save_every_steps=5)
    await BusRuns(bus).create(replace(run_spec(RUN), base_checkpoint=model.checkpoint, training=training))
    events = follow(bus, RUN)
    with trainer_process(settings, tmp_path / "log") as process:
        await serving(bus, Room.TRAINER)
        await publish_event(bus, Room.QUALITY, Cause("plan-closed", 1), ready)
        async with asyncio.timeout(60):
            async for _, event, _ in events:
                if isinstance(event, TrainingProgressed) and event.step >= 10:
                    break
        (room,) = [one for one in await present(bus) if one.room == Room.TRAINER.value]
        async with grpc.aio.insecure_channel(room.grpc_address) as channel:
            stub = trainer_pb2_grpc.TrainerServiceStub(channel)
            state = await stub.GetTraining(trainer_pb2.GetTrainingRequest(training_id=f"{RUN}/1"))
            assert state.state == trainer_pb2.TRAINING_STATE_RUNNING
            with pytest.raises(grpc.aio.AioRpcError, match="never started"):
                await stub.GetTraining(trainer_pb2.GetTrainingRequest(training_id="other/1"))
        (training_process,) = psutil.Process(process.pid).children()
        process.kill()
    # A training does not outlive its room.
    psutil.wait_procs([training_process], timeout=10)
    assert not training_process.is_running() or training_process.status() == psutil.STATUS_ZOMBIE
    steps, updated = [], []
    with trainer_process(settings, tmp_path / "log"):
        async with asyncio.timeout(120):
            async for _, event, _ in follow(bus, RUN):
                if isinstance(event, TrainingProgressed):
                    steps.append(event.step)
                if isinstance(event, ModelUpdated):
                    updated.append(event)
                    break
    assert updated[0].model.model_id == f"{RUN}/1"
    assert updated[0].dataset == ready.dataset
    assert sorted(set(steps)) == list(range(1, 46))
