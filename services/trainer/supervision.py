"""What every stage of a training does beside its loss: report, seal checkpoints, refuse NaN, stop when asked to."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from services.trainer.job import Progress, StageSummary
from services.trainer.sealed import seal
from services.trainer.stopping import Interrupted, StopRequest
from shared.domain import Recipe
from shared.errors import Rejected

_NUM_REPORTS = 50


class Supervision(TrainerCallback):  # type: ignore[misc]
    """Watches one stage.

    The steps that are reported depend on the number of steps alone, so a training that is run again reports the same ones.
    """

    def __init__(
        self, recipe: Recipe, *, num_samples: int, samples_per_step: int, report: Callable[[Progress], None], stop: StopRequest
    ) -> None:
        self._recipe = recipe
        self._num_samples = num_samples
        self._samples_per_step = samples_per_step
        self._report = report
        self._stop = stop
        self._last: Progress | None = None
        self._since = (0, time.perf_counter())

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Starts the clock, also in the middle of a resumed training."""
        self._since = (state.global_step, time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """Reports a step's figures.

        Raises:
            Rejected: the loss or the gradient is not finite. The same job would end there again.
        """
        if "loss" not in logs:
            return
        for name in ("loss", "grad_norm"):
            if name in logs and not math.isfinite(logs[name]):
                raise Rejected(f"{name} is {logs[name]} at {self._recipe} step {state.global_step}: lower training.*_learning_rate")
        step, now = state.global_step, time.perf_counter()
        elapsed_s = max(now - self._since[1], 1e-9)
        self._last = Progress(
            recipe=self._recipe,
            step=step,
            num_steps=state.max_steps,
            loss=logs["loss"],
            samples_per_s=(step - self._since[0]) * self._samples_per_step / elapsed_s,
            reward=logs.get("reward"),
            accuracy=logs.get("accuracy"),
        )
        if step % max(1, state.max_steps // _NUM_REPORTS) == 0 or step == state.max_steps:
            self._since = (step, now)
            if state.is_world_process_zero:
                self._report(self._last)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Saves and stops where that was asked for."""
        if self._stop.is_set and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seals the checkpoint that was just written."""
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def summary(self, *, num_steps: int) -> StageSummary:
        """What the stage did.

        Raises:
            Interrupted: it was stopped before its last step.
        """
        last = self._last
        if last is None or last.step < num_steps:
            raise Interrupted(f"stopped after {last.step if last else 0} of {num_steps} {self._recipe} steps")
        return StageSummary(
            recipe=self._recipe,
            num_samples=self._num_samples,
            num_steps=num_steps,
            loss=last.loss,
            reward=last.reward,
            accuracy=last.accuracy,
        )
