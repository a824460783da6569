"""How many requests an endpoint gets at a time: additive increase, multiplicative decrease, as in TCP; and the gate that holds to it.

The limit starts low, grows by one with each success until the endpoint is overloaded for the first time, from then on by one per round of
successes, and halves at each overload. The failures of one burst halve it once: those that were sent before the last halving count for it.
"""

import asyncio
from collections import deque


class AdaptiveLimit:
    """The arithmetic of the limit; times are seconds of any one clock."""

    def __init__(self, first: int, most: int) -> None:
        """Takes the limit at first, and the highest."""
        self._most = most
        self._value = float(min(first, most))
        self._is_starting = True
        self._halved_at = float("-inf")

    @property
    def value(self) -> int:
        """Requests that may be in flight; at least 1."""
        return int(self._value)

    def succeeded(self) -> None:
        """A request was answered."""
        self._value = min(self._most, self._value + (1.0 if self._is_starting else 1.0 / self._value))

    def overloaded(self, *, sent_at: float, now: float) -> bool:
        """A request was turned away or ran into its deadline; whether the limit was halved for it."""
        if sent_at < self._halved_at:
            return False
        self._is_starting = False
        self._halved_at = now
        self._value = max(1.0, self._value / 2)
        return True


class Gate:
    """Lets as many through as the limit says, in the order in which they came."""

    def __init__(self, limit: AdaptiveLimit) -> None:
        self.limit = limit
        self.num_in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Waits for a place."""
        if self.num_in_flight < self.limit.value and not self._waiting:
            self.num_in_flight += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                # It was let in and cancelled in the same step of the loop.
                self.leave()
            raise

    def leave(self) -> None:
        """Gives the place back, and lets in whom the limit allows by now."""
        self.num_in_flight -= 1
        while self._waiting and self.num_in_flight < self.limit.value:
            place = self._waiting.popleft()
            if not place.done():
                self.num_in_flight += 1
                place.set_result(None)
