"""What the two kinds of stage share: their settings for transformers' Trainer, and how one runs, resumes and leaves its result."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from services.trainer.job import Job, Progress, split_batch
from services.trainer.replay import Stage
from services.trainer.sealed import newest_checkpoint, remove_torn_checkpoints, seal
from services.trainer.stopping import StopRequest
from services.trainer.supervision import Supervision
from shared.checkpoint import load_policy

_NUM_KEPT_CHECKPOINTS = 2
_WARMUP_SHARE = 0.05
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_NOT_COPIED = ("config.json", "README.md")


@dataclass(frozen=True, slots=True)
class Work:
    """One stage of one job, as its trainer gets it."""

    job: Job
    stage: Stage
    start: Path
    """The checkpoint to start from."""
    directory: Path
    """For training checkpoints and the result."""
    report: Callable[[Progress], None]
    stop: StopRequest

    @property
    def result(self) -> Path:
        """Where the stage's checkpoint stands once it is done."""
        return self.directory / "result"


def device_of(job: Job) -> str:
    """ "cpu" or "cuda"."""
    asked = job.hardware.device
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked


def trainer_arguments(work: Work, *, batch_size: int, num_steps: int, learning_rate: float) -> dict[str, Any]:
    """Arguments that SFTConfig and GRPOConfig have in common.

    Every step is logged, since that is where a NaN is seen, and the data come in the order in which the stage lays them out.
    """
    hardware = work.job.hardware
    on_cuda = device_of(work.job) == "cuda"
    per_device, accumulation = split_batch(batch_size, num_processes=hardware.num_processes, micro_batch_size=hardware.micro_batch_size)
    return {
        "output_dir": str(work.directory),
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": accumulation,
        "max_steps": num_steps,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(num_steps * _WARMUP_SHARE),
        "optim": hardware.optimizer,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "seed": work.job.seed,
        "use_cpu": not on_cuda,
        "bf16": on_cuda,
        "gradient_checkpointing": hardware.gradient_checkpointing,
        "dataloader_pin_memory": on_cuda,
        "remove_unused_columns": False,
        "save_strategy": "steps",
        "save_steps": work.job.training.save_every_steps,
        "save_total_limit": _NUM_KEPT_CHECKPOINTS,
        "logging_steps": 1,
        # The default replaces a NaN loss by the average of the ones before.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
    }


def load_start(work: Work) -> tuple[Any, Any, Path | None]:
    """The model to go on with, its processor, and the newest complete training checkpoint, if there is one.

    Trainer's own resuming reads weights by their names in memory, but Qwen2.5-VL's files carry older names: it would warn and go on with
    the weights that it was given. So the weights of the checkpoint are what it is given.
    """
    dtype = work.job.hardware.weights_dtype
    model, processor = load_policy(work.start, dtype=dtype)
    checkpoint = newest_checkpoint(work.directory)
    if checkpoint is not None and any(checkpoint.glob("*.safetensors")):
        model = type(model).from_pretrained(checkpoint, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True)
    return model, processor, checkpoint


def run_stage(trainer: Any, work: Work, supervision: Supervision, *, checkpoint: Path | None, num_steps: int) -> None:
    """Trains, from a training checkpoint on if there is one, and leaves the result sealed in `work.result`.

    Raises:
        Interrupted: the process was asked to stop; a checkpoint was saved.
        Rejected: the loss or a gradient was not finite.
    """
    if trainer.is_world_process_zero():
        remove_torn_checkpoints(work.directory)
    trainer.accelerator.wait_for_everyone()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    summary = supervision.summary(num_steps=num_steps)
    trainer.save_model(str(work.result))
    if trainer.is_world_process_zero():
        # Trainer adds its arguments as a pickle, which no checkpoint may hold.
        (work.result / "training_args.bin").unlink(missing_ok=True)
        copy_processor(work.start, work.result)
        seal(work.result, summary)
        for old in work.directory.glob("checkpoint-*"):
            shutil.rmtree(old)
    trainer.accelerator.wait_for_everyone()


def copy_processor(base: Path, target: Path) -> None:
    """Gives a checkpoint the tokenizer, processor and generation settings of its base, byte for byte."""
    for path in base.iterdir():
        if (
            path.is_file()
            and not path.name.endswith(_WEIGHTS)
            and path.name not in _NOT_COPIED
            and not path.name.startswith((".", "spiral-seal"))
        ):
            shutil.copyfile(path, target / path.name)
