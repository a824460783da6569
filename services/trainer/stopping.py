"""How a training is asked to stop."""

import signal

from shared.errors import Retryable


class Interrupted(Retryable):
    """The training was asked to stop; it saved where it stands and continues from there."""


class StopRequest:
    """Set by SIGTERM; a stage looks at it after each step."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        """Takes over SIGTERM for the life of this process."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        self.is_set = True
