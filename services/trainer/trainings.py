"""The trainings of this process, and those that were cancelled for good."""

from dataclasses import dataclass, replace
from enum import StrEnum

from services.trainer.child_process import TrainingProcess
from services.trainer.job import Progress
from shared.domain import Recipe
from shared.errors import NotFound
from shared.ports import KeyValue

BUCKET = "spiral_cancelled_trainings"


class State(StrEnum):
    """Where a training stands."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Training:
    """A training as callers see it."""

    training_id: str
    state: State = State.RUNNING
    recipe: Recipe | None = None
    step: int = 0
    num_steps: int = 0
    explanation: str = ""


class Trainings:
    """Knows every training that this process started."""

    def __init__(self, cancelled: KeyValue) -> None:
        """Takes the bucket in which cancellations outlive the process."""
        self._cancelled = cancelled
        self._trainings: dict[str, Training] = {}
        self._processes: dict[str, TrainingProcess] = {}

    def get(self, training_id: str) -> Training:
        """A training's state.

        Raises:
            NotFound: this process never started it.
        """
        if training_id not in self._trainings:
            raise NotFound(f"this trainer never started a training {training_id!r}")
        return self._trainings[training_id]

    def start(self, training_id: str, process: TrainingProcess) -> None:
        """A training begins, or begins again."""
        self._trainings[training_id] = Training(training_id)
        self._processes[training_id] = process

    def advance(self, training_id: str, progress: Progress) -> None:
        """A training made a step."""
        self._trainings[training_id] = replace(
            self._trainings[training_id], recipe=progress.recipe, step=progress.step, num_steps=progress.num_steps
        )

    def end(self, training_id: str, state: State, explanation: str = "") -> None:
        """A training is over, in this process."""
        self._processes.pop(training_id, None)
        self._trainings[training_id] = replace(self._trainings[training_id], state=state, explanation=explanation)

    async def is_cancelled(self, training_id: str) -> bool:
        """Whether somebody cancelled it, also before a restart."""
        return await self._cancelled.get(_key(training_id)) is not None

    async def cancel(self, training_id: str) -> None:
        """Kills a running training; it is not taken up again.

        Raises:
            NotFound: it is not running here.
        """
        if training_id not in self._processes:
            raise NotFound(f"no training {training_id!r} is running here")
        await self._cancelled.put(_key(training_id), b"cancelled")
        if process := self._processes.get(training_id):
            process.cancel()


def _key(training_id: str) -> str:
    return training_id.replace("/", ".")
