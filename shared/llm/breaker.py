"""The circuit breaker: an endpoint that keeps failing is left alone for a while, then tried by one request. Pure; times are seconds."""

from enum import Enum


class _State(Enum):
    CLOSED = 0
    OPEN = 1
    PROBING = 2


class Breaker:
    """Opens after failures in a row, waits, lets one request through, and closes or waits longer by what becomes of it."""

    def __init__(self, *, num_failures: int, cool_down_s: float, max_cool_down_s: float) -> None:
        """Takes the failures in a row that open it, the first wait, and the longest; the wait doubles with each failed try."""
        self._num_to_open = num_failures
        self._first_cool_down_s = cool_down_s
        self._max_cool_down_s = max_cool_down_s
        self._state = _State.CLOSED
        self._num_failures = 0
        self._cool_down_s = cool_down_s
        self._opened_at = 0.0

    def is_open(self, now: float) -> bool:
        """Whether it is too early to ask; False once a try is due."""
        return self._state is _State.OPEN and now < self._opened_at + self._cool_down_s

    def wait_s(self, now: float) -> float:
        """How long until a try is due."""
        return max(0.0, self._opened_at + self._cool_down_s - now) if self._state is _State.OPEN else 0.0

    def admits(self, now: float) -> bool:
        """Whether a request may be sent; the one that is let through after the wait is the only one until it is answered."""
        if self._state is _State.CLOSED:
            return True
        if self._state is _State.PROBING or self.is_open(now):
            return False
        self._state = _State.PROBING
        return True

    def succeeded(self) -> bool:
        """A request was answered; whether that closed it."""
        was_closed = self._state is _State.CLOSED
        self._state = _State.CLOSED
        self._num_failures = 0
        self._cool_down_s = self._first_cool_down_s
        return not was_closed

    def failed(self, now: float, *, is_final: bool = False) -> bool:
        """A request failed; whether that opened it. `is_final`: further ones would fail as well, so one is enough."""
        if self._state is _State.OPEN:
            # It was sent before: nothing new.
            return False
        self._num_failures += 1
        if self._state is _State.PROBING:
            self._cool_down_s = min(self._max_cool_down_s, 2 * self._cool_down_s)
        elif not is_final and self._num_failures < self._num_to_open:
            return False
        self._state = _State.OPEN
        self._opened_at = now
        return True

    def given_up(self, now: float) -> None:
        """A request that was let through was never sent, or its answer was not waited for: the next one may try."""
        if self._state is _State.PROBING:
            self._state = _State.OPEN
            self._opened_at = now - self._cool_down_s
