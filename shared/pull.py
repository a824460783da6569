"""Pulling from a durable consumer by credit: never more messages than there are free hands, never a free hand without a request.

The client library's `fetch` asks, waits and returns; this keeps one request standing, so that an event is here as soon as it is stored,
and after a drain not one message is left between broker and process.
"""

import asyncio
import json
from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus import Bus
from shared.telemetry import log

_EXPIRES_S = 10.0
_SILENCE_S = _EXPIRES_S + 3.0
_RETRY_S = 0.5


class Pull:
    """Standing requests to one durable consumer.

    Args:
        deliver: gets every message, and must not block.
        fail: gets the reason when the consumer is gone for good.
    """

    def __init__(self, bus: Bus, stream: str, durable: str, deliver: Callable[[Msg], None], fail: Callable[[Exception], None]) -> None:
        self._bus = bus
        self._request_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._durable = durable
        self._deliver = deliver
        self._fail = fail
        self._inbox = bus.client.new_inbox()
        self._subscription: Subscription | None = None
        self._num_asked = 0
        self._num_wanted = 0
        self._last_heard_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listens; messages come after the first `want`."""
        self._subscription = await self._bus.client.subscribe(
            self._inbox, cb=self._receive, pending_msgs_limit=100_000, pending_bytes_limit=0
        )
        self._bus.on_reconnect.append(self._ask_anew)
        self._look()

    def want(self, num_messages: int) -> None:
        """States how many messages could be taken now, those that are asked for already among them."""
        self._num_wanted = num_messages
        if self._subscription is not None and num_messages > self._num_asked and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def close(self) -> None:
        """Takes the request back; what was under way has been delivered when it returns."""
        subscription, self._subscription = self._subscription, None
        self._bus.on_reconnect.remove(self._ask_anew)
        if self._watch is not None:
            self._watch.cancel()
        if subscription is not None and self._bus.client.is_connected:
            try:
                await subscription.drain()  # type: ignore[no-untyped-call]
            except (nats.errors.Error, OSError) as error:
                log.debug("drain cut short: the broker redelivers", reason=repr(error))

    async def _ask(self) -> None:
        count = self._num_wanted - self._num_asked
        if count <= 0 or self._subscription is None:
            return
        self._num_asked += count
        request = json.dumps({"batch": count, "expires": int(_EXPIRES_S * 1e9)}).encode()
        try:
            await self._bus.client.publish(self._request_subject, request, reply=self._inbox)
        except (nats.errors.Error, OSError) as error:
            log.debug("request not sent", consumer=self._durable, reason=repr(error))
            self._num_asked = 0

    def _ask_anew(self) -> None:
        self._num_asked = 0
        self.want(self._num_wanted)

    def _look(self) -> None:
        """Asks again after a silence: a request that neither brings nor expires was lost."""
        loop = asyncio.get_running_loop()
        if self._num_asked < self._num_wanted or loop.time() - self._last_heard_s > _SILENCE_S:
            self._ask_anew()
            self._last_heard_s = loop.time()
        self._watch = loop.call_later(_EXPIRES_S / 2, self._look)

    async def _receive(self, message: Msg) -> None:
        self._last_heard_s = asyncio.get_running_loop().time()
        if message.reply:
            self._num_asked = max(0, self._num_asked - 1)
            self._num_wanted = max(0, self._num_wanted - 1)
            self._deliver(message)
            return
        headers = message.headers or {}
        description = headers.get("Description", "")
        if "Consumer Deleted" in description:
            self._fail(RuntimeError(f"consumer {self._durable} was deleted: start the room again to make it anew"))
            return
        pending = headers.get("Nats-Pending-Messages", "")
        if headers.get("Status") == "408" and pending.isdigit():
            self._num_asked = max(0, self._num_asked - int(pending))
            self.want(self._num_wanted)
            return
        # No responder yet after a restart, a change of leader, too many requests: ask again shortly.
        log.debug("request ended", consumer=self._durable, status=headers.get("Status"), description=description)
        asyncio.get_running_loop().call_later(_RETRY_S, self._ask_anew)
