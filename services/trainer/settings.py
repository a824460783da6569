"""What the trainer reads from its environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.trainer.job import Hardware
from shared.settings import RoomSettings


class TrainerSettings(RoomSettings):
    """The trainer's settings; how a model is trained stands in the run's own specification, not here."""

    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True)

    max_in_flight: Annotated[int, Field(ge=1, le=8)] = 1
    """Trainings at a time."""
    training_device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda)$")] = "auto"
    """`auto` takes CUDA where torch sees it. Choose among several GPUs with CUDA_VISIBLE_DEVICES."""
    training_threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads of a training; 0 leaves it to torch."""
    training_weights_dtype: Literal["float32", "bfloat16"] = "float32"
    """Weights and optimiser state while training. On CUDA the arithmetic is bfloat16 either way; the published checkpoint has the type
    of its base model."""
    training_micro_batch_size: Annotated[int, Field(ge=0)] = 0
    """Sequences at a time on one device; the rest of a batch is accumulated. 0 takes a whole batch at once."""
    training_gradient_checkpointing: bool = False
    """Computes activations a second time instead of keeping them: less memory, about a third slower."""
    training_optimizer: str = "adamw_torch"
    """The name of a transformers optimiser."""
    training_processes: Annotated[int, Field(ge=1)] = 1
    """Processes of one training, started by `accelerate launch`; one for each GPU."""
    accelerate_config: Path | None = None
    """A configuration file for `accelerate launch` (FSDP, DeepSpeed, several nodes)."""
    training_stop_grace_s: Annotated[float, Field(ge=0)] = 10.0
    """How long a training that is asked to stop may take to save where it stands before it is killed."""

    def hardware(self) -> Hardware:
        """The part of the settings that the training process needs."""
        return Hardware(
            device=self.training_device,
            num_threads=self.training_threads,
            weights_dtype=self.training_weights_dtype,
            micro_batch_size=self.training_micro_batch_size,
            gradient_checkpointing=self.training_gradient_checkpointing,
            optimizer=self.training_optimizer,
            num_processes=self.training_processes,
            accelerate_config=self.accelerate_config,
        )
