"""What the trainer and its training process say to each other: a job file one way, lines of JSON the other.

Both ends parse what they get; torch is imported by neither.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.domain import Recipe
from shared.errors import Rejected
from shared.run_spec import TrainingSpec

RECIPES = ("by_cell", "sft", "grpo")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hardware(_Value):
    """What a training runs on; none of it changes what is trained on."""

    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    num_threads: int = 0
    """0 leaves it to torch."""
    weights_dtype: str = "float32"
    micro_batch_size: int = 0
    """Sequences at a time on one device; 0 for a whole batch."""
    gradient_checkpointing: bool = False
    optimizer: str = "adamw_torch"
    num_processes: int = 1
    accelerate_config: Path | None = None


class SampleFile(_Value):
    """A Parquet file of samples on this machine, and what messages call it."""

    path: Path
    name: str


class Job(_Value):
    """One training, complete: the same job gives the same weights on the same machine."""

    training_id: str
    """RUN_ID/ITERATION"""
    seed: int
    base_model_id: str
    base_sha256: str
    base_directory: Path
    """The checkpoint to start from, in Hugging Face layout; only read."""
    dataset_sha256: str
    dataset_files: tuple[SampleFile, ...]
    replay_sha256s: tuple[str, ...]
    replay_files: tuple[SampleFile, ...]
    """Samples of earlier iterations, oldest first."""
    replay_share: Annotated[float, Field(ge=0, lt=1)]
    """Replayed samples as a share of the training set."""
    held_back: tuple[str, ...] = ()
    """Cells of which nothing is replayed, CATEGORY/QUESTION_TYPE."""
    training: TrainingSpec
    hardware: Hardware
    directory: Path
    """Where the training keeps its checkpoints and puts its export."""

    def digest(self) -> str:
        """Changes with anything that changes the weights; not with paths or hardware, so that a training resumes on other settings."""
        # A training that began before cells could be held back goes on where it was.
        unsaid = set() if self.held_back else {"held_back"}
        content = self.model_dump_json(exclude={"base_directory", "dataset_files", "replay_files", "hardware", "directory", *unsaid})
        return hashlib.sha256(content.encode()).hexdigest()


class Progress(_Value):
    """A training step's figures."""

    kind: Literal["progress"] = "progress"
    recipe: Recipe
    step: int
    """Optimiser steps done in this stage, of `num_steps`."""
    num_steps: int
    loss: float
    samples_per_s: float
    reward: float | None = None
    accuracy: float | None = None


class StageSummary(_Value):
    """What one stage did, for the model card."""

    recipe: Recipe
    num_samples: int
    num_steps: int
    loss: float
    """Of the last step."""
    reward: float | None = None
    accuracy: float | None = None


class Finished(_Value):
    """The trained checkpoint stands in `export`."""

    kind: Literal["finished"] = "finished"
    export: Path
    stages: tuple[StageSummary, ...]


class Failed(_Value):
    """The job itself is at fault: the same job never succeeds."""

    kind: Literal["failed"] = "failed"
    reason: str


Report = Progress | Finished | Failed
_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


def parse_report(line: bytes) -> Report:
    """One line of the training process's output.

    Raises:
        ValueError: it is no report.
    """
    return _REPORT.validate_json(line)


def read_job(path: Path) -> Job:
    """A job file.

    Raises:
        Rejected: a field is missing or has a wrong value; the text names it.
    """
    try:
        return Job.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Rejected(f"{path} is no job: {error}") from error


def check_training(training: TrainingSpec) -> None:
    """Refuses a specification that no training can follow.

    Raises:
        Rejected: names the field, its value and what it must be.
    """
    if training.recipe not in RECIPES:
        raise Rejected(f"training.recipe is {training.recipe!r}: use one of {', '.join(RECIPES)}")
    for name in ("sft_epochs", "sft_batch_size", "grpo_batch_size", "grpo_max_steps", "save_every_steps", "max_new_tokens"):
        if getattr(training, name) < 1:
            raise Rejected(f"training.{name} is {getattr(training, name)}: it must be at least 1")
    for name in ("sft_learning_rate", "grpo_learning_rate"):
        if not 0 < getattr(training, name) < 1:
            raise Rejected(f"training.{name} is {getattr(training, name)}: it must lie between 0 and 1")
    if training.grpo_num_generations < 2:
        raise Rejected(f"training.grpo_num_generations is {training.grpo_num_generations}: advantages compare at least 2 completions")
    if training.grpo_batch_size % training.grpo_num_generations:
        raise Rejected(
            f"training.grpo_batch_size {training.grpo_batch_size} is no multiple of grpo_num_generations {training.grpo_num_generations}"
        )


def split_batch(batch_size: int, *, num_processes: int, micro_batch_size: int) -> tuple[int, int]:
    """A batch as (sequences per device at a time, accumulation steps); their product with `num_processes` is the batch size exactly.

    Args:
        batch_size: sequences per optimiser step, over all processes.
        num_processes: devices that share them.
        micro_batch_size: at most so many at a time on one device; 0 for no limit.

    Raises:
        Rejected: the batch cannot be shared evenly.
    """
    if batch_size % num_processes:
        raise Rejected(f"a batch of {batch_size} cannot be shared evenly by {num_processes} processes")
    share = batch_size // num_processes
    limit = min(micro_batch_size or share, share)
    per_device = next(size for size in range(limit, 0, -1) if share % size == 0)
    return per_device, share // per_device
