"""What the evaluator reads from its environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import RoomSettings


class EvaluatorSettings(RoomSettings):
    """The evaluator's settings; how a model is evaluated stands in the run's own specification, not here."""

    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True)

    max_in_flight: Annotated[int, Field(ge=1, le=64)] = 2
    """Evaluations at a time; they share one model thread."""
    policy_device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Where the policy runs; `auto` takes CUDA where torch sees it."""
    policy_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; `auto` is float32 on a CPU and the checkpoint's own type on CUDA."""
    policy_threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads of the policy; 0 leaves it to torch."""
    policy_batch_size: Annotated[int, Field(ge=1, le=4096)] = 64
    """Sequences at a time for SampleAnswers; a run's evaluations bring their own."""
    policy_max_loaded: Annotated[int, Field(ge=1, le=16)] = 2
    """Checkpoints kept in memory, the last used ones."""
    policy_max_image_pixels: Annotated[int, Field(ge=1)] = 16_777_216
    """A larger image is not decoded: its probe fails, it does not count as wrong."""
    policy_server_url: Annotated[str, Field(pattern=r"^(https?://[^/\s]+/?)?$")] = ""
    """A vLLM server that answers in place of a model in this process, such as `http://vllm:8000`, for this evaluator alone."""
    policy_server_dir: Path | None = None
    """A directory that evaluator and server see at the same path: checkpoints are placed in it."""
    policy_server_in_flight: Annotated[int, Field(ge=1, le=4096)] = 32
    """Requests in flight; a request asks for all samples of one prompt, and a run's batch size caps the samples."""
    policy_server_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """How long one answer may take before it is asked for again."""
    policy_server_swap_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """How long draining the server, or loading a checkpoint into it, may take."""
    evaluation_chunk_size: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Probes that are asked, and remembered, as a whole: what a crash can cost."""
