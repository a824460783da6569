"""Saying what follows, in order and for good."""

import asyncio
from collections.abc import Sequence

from shared.bus import Bus
from shared.catalogue import Room
from shared.envelope import Consequences, Sealed
from shared.events import Event, RunFinished
from shared.ports import Cause
from shared.runs import BusRuns
from shared.telemetry import Tracing


class Publisher:
    """Publishes sealed events and keeps the book of finished runs."""

    def __init__(self, bus: Bus, runs: BusRuns) -> None:
        self._bus = bus
        self._runs = runs

    async def publish(self, sealed: Sequence[Sealed]) -> None:
        """Sends events in their order and returns once every one is stored.

        Raises:
            Retryable: the broker stays away. Some may be stored; they keep their ids.
            Rejected: the stream refuses one.
        """
        if len(sealed) == 1:
            await self._bus.publish(sealed[0].subject, sealed[0].payload, sealed[0].headers)
        elif sealed:
            # One connection keeps the order in which these tasks start; waiting for each answer in turn would cost a round trip each.
            said = await asyncio.gather(
                *(self._bus.publish(event.subject, event.payload, event.headers) for event in sealed), return_exceptions=True
            )
            for failure in said:
                if isinstance(failure, BaseException):
                    raise failure
        for event in sealed:
            if isinstance(event.event, RunFinished):
                await self._runs.mark_finished(event.event.run_id)


async def publish_event(bus: Bus, room: Room, cause: Cause, event: Event) -> str:
    """Says one event that an operator decided on and returns its id; said again for the same cause it counts once.

    Raises:
        Retryable: the broker stays away.
    """
    trace_headers = Tracing(room.value, exporter="").begin("operator", {}).headers
    sealed = Consequences(room, cause, trace_headers).seal(event)
    await Publisher(bus, BusRuns(bus)).publish([sealed])
    return sealed.event_id
