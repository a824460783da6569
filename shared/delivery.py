"""One durable consumer in one process: take an event, handle it, publish what follows, acknowledge. In this order nothing is lost."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import structlog
from nats.aio.msg import Msg

from shared.acknowledgement import Acknowledgements, Exhausted, meaning
from shared.bus import UNAVAILABLE, Bus
from shared.catalogue import EventType, Room
from shared.dead_letters import bury
from shared.envelope import CAUSED_AT, MESSAGE_ID, Consequences, Position, cause_of, may_be_repeat, position, unseal
from shared.errors import OutOfSpace, Rejected, Retryable, SpiralError
from shared.events import Event
from shared.history import was_stored_before
from shared.ports import Delivery, Runs
from shared.publisher import Publisher
from shared.pull import Pull
from shared.service import Handler
from shared.settings import RoomSettings
from shared.telemetry import Metrics, Tracing, log

_LAST_WORDS_S = 5.0


@dataclass(slots=True)
class _Work:
    """An event in hand. A redelivery while it is handled brings a newer message to acknowledge."""

    message: Msg
    at: Position
    task: asyncio.Task[None] | None = None
    heartbeat: asyncio.TimerHandle | None = None
    started_s: float = field(default=0.0)


@dataclass(frozen=True, slots=True)
class Tools:
    """What all consumers of a room share."""

    room: Room
    bus: Bus
    runs: Runs
    publisher: Publisher
    settings: RoomSettings
    metrics: Metrics
    tracing: Tracing
    fail: Callable[[Exception], None]
    """Ends the room."""


class Deliveries:
    """Handles the events of one durable consumer, at most `max_in_flight` at a time."""

    def __init__(self, tools: Tools, row: EventType, durable: str, handler: Handler) -> None:
        self._tools = tools
        self._row = row
        self._durable = durable
        self._handler = handler
        self._acks = Acknowledgements(tools.bus)
        self._limit = tools.settings.max_in_flight
        self._working: dict[int, _Work] = {}
        self._aftermath: set[asyncio.Task[None]] = set()
        self._is_draining = False
        self._pull = Pull(tools.bus, row.stream.value, durable, self._receive, tools.fail)
        self._seconds = tools.metrics.handler_seconds.labels(tools.room.value, row.subject)
        self._outcomes = {
            outcome: tools.metrics.handled.labels(tools.room.value, row.subject, outcome)
            for outcome in ("handled", "repeat", "retried", "failed", "dead", "handed_back")
        }

    async def start(self) -> None:
        """Begins to take events."""
        await self._pull.open()
        self._pull.want(self._limit)

    async def drain(self, grace_s: float) -> None:
        """Takes no more, lets what is in hand finish within the grace time, and hands the rest back to the broker."""
        self._is_draining = True
        await self._pull.close()
        await self._wait(grace_s)
        for work in list(self._working.values()):
            if work.task is not None:
                work.task.cancel()
        await self._wait(_LAST_WORDS_S)

    async def _wait(self, timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while pending := self._aftermath | {work.task for work in self._working.values() if work.task is not None and not work.task.done()}:
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                return
            await asyncio.wait(pending, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            # The callbacks of what has finished run before the next look.
            await asyncio.sleep(0)

    def _receive(self, message: Msg) -> None:
        at = position(message)
        if (known := self._working.get(at.sequence)) is not None:
            # The broker took us for dead (say, it was away itself): the one at work goes on, under the new delivery.
            known.message, known.at = message, at
            self._want()
            return
        if self._is_draining or len(self._working) >= self._limit:
            self._after(self._acks.hand_back(message))
            return
        loop = asyncio.get_running_loop()
        work = _Work(message, at, started_s=loop.time())
        self._working[at.sequence] = work
        # A task has its own context, so what it binds for logs and traces ends with it.
        work.task = loop.create_task(self._attempt(work))
        work.task.add_done_callback(lambda task: self._settle(work, task))
        work.heartbeat = loop.call_later(self._tools.settings.ack_wait_s / 3, self._beat, work)

    async def _attempt(self, work: _Work) -> None:
        tools, message, at = self._tools, work.message, work.at
        headers = message.headers or {}
        cause = cause_of(headers, at.stored_at_ns)
        if at.attempt > tools.settings.max_deliver_retryable:
            raise Exhausted(f"delivered {at.attempt} times without an end: its handler may kill the room")
        event = unseal(self._row, message.subject, headers, message.data)
        structlog.contextvars.bind_contextvars(
            event_id=cause.event_id, subject=message.subject, attempt=at.attempt, run_id=event.run_id, iteration=event.iteration
        )
        if may_be_repeat(headers, at.stored_at_ns, tools.settings.duplicate_window_s) and await self._is_repeat(message, at):
            await self._acks.done(work.message)
            self._outcomes["repeat"].inc()
            log.info("repeat of an earlier event, skipped")
            return
        await tools.runs.get(event.run_id)

        span = tools.tracing.begin(self._durable, headers)
        while True:
            try:
                await self._handle(event, Delivery(cause, at.attempt, message.subject), Consequences(tools.room, cause, span.headers))
                break
            except Exception as error:
                reason = meaning(error)
                if not isinstance(reason, OutOfSpace):
                    raise
                # In hand it can't run out of deliveries, however late somebody frees some space.
                self._outcomes["retried"].inc()
                log.warning("no space left, the event waits for some", reason=str(reason))
                await asyncio.sleep(tools.settings.max_backoff_s)
        # A crash before this line repeats the event under the same ids, which the stream drops; the opposite order loses events.
        await self._acks.done(work.message)
        span.end()
        self._outcomes["handled"].inc()
        self._seconds.observe(asyncio.get_running_loop().time() - work.started_s)

    async def _handle(self, event: Event, delivery: Delivery, consequences: Consequences) -> None:
        tools = self._tools
        following = self._handler(event, delivery)
        if isinstance(following, AsyncGenerator):
            # A publish that fails ends the handler at once, and with it what it holds (say, a training process).
            async with aclosing(following):
                async for consequence in following:
                    await tools.publisher.publish([consequences.seal(consequence)])
        else:
            await tools.publisher.publish([consequences.seal(consequence) for consequence in await following])

    async def _is_repeat(self, message: Msg, at: Position) -> bool:
        headers = message.headers or {}
        caused_at = headers.get(CAUSED_AT, "")
        # A second of margin for clocks that differ between the members of a cluster.
        from_ns = max(0, int(caused_at) - 1_000_000_000) if caused_at.isdigit() else 0
        message_id = headers.get(MESSAGE_ID, "")
        return bool(message_id) and await was_stored_before(
            self._tools.bus, self._row.stream, message.subject, message_id, sequence=at.sequence, from_ns=from_ns
        )

    def _settle(self, work: _Work, task: asyncio.Task[None]) -> None:
        if work.heartbeat is not None:
            work.heartbeat.cancel()
        if not task.cancelled() and task.exception() is None:
            self._forget(work)
        else:
            self._after(self._give_up(work, None if task.cancelled() else task.exception()))

    def _forget(self, work: _Work) -> None:
        self._working.pop(work.at.sequence, None)
        self._want()

    def _want(self) -> None:
        free = self._limit - len(self._working)
        # Asking for each freed hand by itself would cost a request per event; a quarter at a time costs none worth naming.
        if not self._is_draining and free >= max(1, self._limit // 4):
            self._pull.want(free)

    async def _give_up(self, work: _Work, error: BaseException | None) -> None:
        try:
            await self._dispose(work, meaning(error))
        except UNAVAILABLE as away:
            log.warning("the broker did not hear what became of the event: it delivers it again", reason=repr(away))
        finally:
            self._forget(work)

    async def _dispose(self, work: _Work, error: BaseException | None) -> None:
        settings, attempt = self._tools.settings, work.at.attempt
        with structlog.contextvars.bound_contextvars(
            event_id=(work.message.headers or {}).get("ce-id", ""), subject=work.message.subject, attempt=attempt
        ):
            if error is None:
                self._outcomes["handed_back"].inc()
                log.info("handler cancelled, event handed back")
                await self._acks.hand_back(work.message)
            elif isinstance(error, Rejected | Exhausted):
                log.error("event refused", reason=str(error))
                await self._bury(work, error)
            elif isinstance(error, Retryable) and attempt < settings.max_deliver_retryable:
                self._outcomes["retried"].inc()
                log.warning("event not handled, tried again later", reason=str(error))
                await self._back_off(work)
            elif not isinstance(error, Retryable) and attempt < settings.max_deliver:
                self._outcomes["failed"].inc()
                log.error("handler failed, tried again later", exc_info=error)
                await self._back_off(work)
            else:
                log.error("event given up", exc_info=error)
                await self._bury(work, error)

    async def _bury(self, work: _Work, error: BaseException) -> None:
        message, at = work.message, work.at
        try:
            await bury(
                self._tools.bus,
                message.subject,
                message.headers or {},
                message.data,
                error,
                stored_at_ns=at.stored_at_ns,
                room=self._tools.room.value,
                consumer=self._durable,
                attempt=at.attempt,
                sequence=at.sequence,
            )
        except SpiralError as failure:
            log.error("dead letter not stored, event tried again later", reason=str(failure))
            await self._back_off(work)
            return
        self._outcomes["dead"].inc()
        await self._acks.never_again(message)

    async def _back_off(self, work: _Work) -> None:
        settings = self._tools.settings
        await self._acks.later(work.message, min(settings.max_backoff_s, settings.backoff_s * 2.0 ** min(work.at.attempt - 1, 30)))

    def _beat(self, work: _Work) -> None:
        """Tells the broker that the event is still being worked on."""
        self._after(self._acks.still_at_it(work.message))
        work.heartbeat = asyncio.get_running_loop().call_later(self._tools.settings.ack_wait_s / 3, self._beat, work)

    def _after(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._aftermath.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._aftermath.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._tools.fail(error)
