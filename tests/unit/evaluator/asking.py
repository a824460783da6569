"""An evaluator on a directory store, with a policy that reads its answers from a table."""

import io
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from PIL import Image

from services.evaluator.policy_model import Completions, Decoding, Prompt
from services.evaluator.service import Evaluator
from shared.artifacts import Artifacts
from shared.domain import Cell, ImageCategory, ModelVersion, QuestionType
from shared.events import ModelUpdated
from shared.ports import Delivery
from shared.run_spec import EvaluationSpec, RunSpec
from shared.service import Ports
from shared.store_directory import DirectoryStore
from shared.tables import Probe, write_probes
from tests.examples import CAUSE, run_spec

DELIVERY = Delivery(CAUSE, 1, "model.updated.r1")
CELL = Cell(ImageCategory.GEOMETRIC, QuestionType.NUMERIC)


def png(color: int = 0) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (color % 256, color // 256, 0)).save(sink, format="PNG")
    return sink.getvalue()


def probe(name: str, split: str = "core", **changes: Any) -> Probe:
    made = Probe(name, split, CELL, png(), f"How many in {name}?", (), "3", 0.0)
    return replace(made, **changes)


def write_checkpoint(directory: Path) -> Path:
    """The smallest directory that passes for a checkpoint; it holds no weights."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    header = b'{"__metadata__":{}}'
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    for name in ("tokenizer.json", "processor_config.json"):
        (directory / name).write_text("{}")
    return directory


class TablePolicy:
    """A policy whose answer follows from the prompt's text; counts what it was asked."""

    def __init__(self, answer: Callable[[str, bool, int], str], fail_after: int = 1 << 30) -> None:
        self._answer = answer
        self.num_left = fail_after
        self.asked: list[str] = []

    async def generate(self, checkpoint: Path, prompts: Sequence[Prompt], decoding: Decoding, *, batch_size: int) -> list[Completions]:
        answers = []
        for prompt in prompts:
            if not self.num_left:
                raise ConnectionError("the power went out")
            self.num_left -= 1
            self.asked.append(prompt.text)
            if not prompt.image:
                answers.append(Completions((), "no image"))
                continue
            answers.append(
                Completions(tuple(self._answer(prompt.text, decoding.is_greedy, i) for i in range(max(1, decoding.num_samples))))
            )
        return answers


class _Runs:
    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec

    async def get(self, run_id: str) -> RunSpec:
        return self._spec


class _Idle:
    def report(self, what: str, *, run_id: str = "", num_done: int = 0, num_total: int = 0) -> None:
        return


@dataclass
class Desk:
    """A store with a run's inputs, and evaluators on it."""

    artifacts: Artifacts
    spec: RunSpec
    event: ModelUpdated
    directory: Path

    def evaluator(self, policy: TablePolicy, spec: RunSpec | None = None) -> Evaluator:
        class _Ports:
            runs = _Runs(spec or self.spec)
            artifacts = self.artifacts
            activity = _Idle()

        return Evaluator(cast(Ports, _Ports), policy, directory=self.directory / "evaluations", chunk_size=2)


@asynccontextmanager
async def desk(
    directory: Path, probes: Sequence[Probe], exam: Sequence[Probe] | None = None, checkpoint: Path | None = None, num_samples: int = 2
) -> AsyncIterator[Desk]:
    """A run with probes, an exam and a checkpoint that stand in a store."""
    items = [probe("exam-1", "exam")] if exam is None else exam
    async with DirectoryStore(directory / "objects") as store:
        artifacts = Artifacts(store, cache_dir=directory / "cache", producer="evaluator")
        spec = replace(
            run_spec("r1"),
            probes=await artifacts.put_bytes(write_probes(probes)),
            exam=await artifacts.put_bytes(write_probes(items)),
            evaluation=EvaluationSpec(num_samples_per_probe=num_samples),
        )
        base = await artifacts.commit_directory("runs/r1/base", checkpoint or write_checkpoint(directory / "base"), cause=CAUSE)
        event = ModelUpdated("r1", 0, ModelVersion("r1/0", 0, base))
        yield Desk(artifacts, spec, event, directory)
