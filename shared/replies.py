"""Requests to the broker, many at a time: one subscription for all replies and one clock for all of their time limits.

The client library's `request` sets a timer, draws a random token and wraps a task for each; two requests per event make that the
largest part of an event's cost.
"""

import asyncio
from itertools import count

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

_TICK_S = 1.0


class Replies:
    """Requests of one connection.

    Args:
        timeout_s: a request without a reply fails after so long, or up to a second more.
    """

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._inbox = client.new_inbox()
        self._prefix_length = len(self._inbox) + 1
        self._tokens = count()
        # In the order of their asking, so the oldest is the first.
        self._waiting: dict[str, tuple[float, asyncio.Future[Msg]]] = {}
        self._clock: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listens for replies."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0)

    def close(self) -> None:
        """Fails what still waits, and listens no more."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self.interrupt()

    def interrupt(self) -> None:
        """Fails what waits: after a reconnection nobody knows whether a request was heard, so whoever may ask again does it at once."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(nats.errors.ConnectionReconnectingError())

    async def request(self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None) -> Msg:
        """Sends a request and returns its reply.

        Raises:
            nats.errors.TimeoutError: none came in time.
            nats.errors.NoRespondersError: nobody listens on the subject.
            nats.errors.ConnectionReconnectingError: the connection was lost meanwhile.
        """
        loop = asyncio.get_running_loop()
        token = str(next(self._tokens))
        future: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = (loop.time() + self._timeout_s, future)
        if self._clock is None:
            self._clock = loop.call_later(_TICK_S, self._expire)
        try:
            await self._client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            reply = await future
        finally:
            self._waiting.pop(token, None)
        if reply.headers and not reply.data and reply.headers.get("Status") == "503":
            raise nats.errors.NoRespondersError
        return reply

    async def _receive(self, reply: Msg) -> None:
        waiting = self._waiting.get(reply.subject[self._prefix_length :])
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(reply)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for deadline, future in self._waiting.values():
            if deadline > now:
                break
            if not future.done():
                future.set_exception(nats.errors.TimeoutError())
        self._clock = loop.call_later(_TICK_S, self._expire) if self._waiting else None
