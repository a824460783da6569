"""Reading streams without consuming them: scans, a run's events in order, and how far consumers lag behind."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import nats.errors
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from shared.bus import UNAVAILABLE, Bus
from shared.cancellation import end
from shared.catalogue import BY_SUBJECT, CATALOGUE, EventType, Room, Stream, durable_name
from shared.envelope import MESSAGE_ID, position, unseal
from shared.errors import Rejected, Retryable
from shared.events import Event
from shared.telemetry import log

_BATCH = 256
_READ_TIMEOUT_S = 5.0
# Short: after a restart of the broker the reader is gone, and only the next request tells.
_NEWS_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as a stream holds it."""

    subject: str
    headers: dict[str, str]
    payload: bytes
    sequence: int
    stored_at_ns: int


async def scan(bus: Bus, stream: Stream, subjects: Sequence[str], *, headers_only: bool = False) -> AsyncGenerator[Stored, None]:
    """What a stream holds under some subjects, oldest first, up to its present end.

    Raises:
        Retryable: the broker is away.
    """
    # Where the end is, the stream's leader knows: the reader may live with a server whose copy lags behind.
    last = 0
    for subject in subjects:
        try:
            last = max(last, (await bus.js.get_last_msg(stream.value, subject)).seq or 0)
        except NotFoundError:
            continue
        except (*UNAVAILABLE, APIError) as error:
            raise _unreadable(stream, error) from error
    if last:
        async with aclosing(_scan_to(last, bus, stream, subjects, api.ConsumerConfig(), headers_only=headers_only)) as messages:
            async for stored in messages:
                yield stored


async def was_stored_before(bus: Bus, stream: Stream, subject: str, message_id: str, *, sequence: int, from_ns: int) -> bool:
    """Whether a subject holds a message of that id before the one at `sequence`: a repeat that came past the duplicate window."""
    start = api.ConsumerConfig(opt_start_time=_datetime(from_ns), deliver_policy=api.DeliverPolicy.BY_START_TIME)
    async with aclosing(_scan_to(sequence, bus, stream, [subject], start, headers_only=True)) as messages:
        async for stored in messages:
            if stored.sequence < sequence and stored.headers.get(MESSAGE_ID) == message_id:
                return True
    return False


async def follow(bus: Bus, run_id: str) -> AsyncGenerator[tuple[str, Event, datetime], None]:
    """A run's events with subject and time: first the past in the order of its storing, then what comes, without end.

    Each event comes once, however often it was stored; what can't be read is left out. Waits while the broker is away. Leave it under
    `contextlib.aclosing`, so that its readers end with it.

    Raises:
        Retryable: the broker is away at the start, or the connection was closed.
    """
    arrivals: asyncio.Queue[Stored | None] = asyncio.Queue()
    past: list[Stored] = []
    streams = sorted({row.stream for row in CATALOGUE})
    last = dict.fromkeys(streams, 0)
    for stream in streams:
        async for stored in scan(bus, stream, _subjects_of_run(stream, run_id)):
            past.append(stored)
            last[stream] = stored.sequence
    pumps = [asyncio.create_task(_pump(bus, stream, run_id, last[stream] + 1, arrivals)) for stream in streams]
    seen: set[str] = set()
    try:
        for stored in sorted(past, key=lambda message: message.stored_at_ns):
            if (said := _event_of(stored, seen)) is not None:
                yield said
        while (arrived := await arrivals.get()) is not None:
            if (said := _event_of(arrived, seen)) is not None:
                yield said
        if bus.closed.done():
            raise bus.closed.result()
        raise Retryable(f"run {run_id} can't be followed any longer: the connection to the broker is closed")
    finally:
        await end(pumps)


@dataclass(frozen=True, slots=True)
class ConsumerLag:
    """How far a room's durable consumer is behind."""

    room: Room
    subject: str
    kind: str | None
    """Generators: the kind that shares the consumer."""
    num_pending: int
    """Events not yet delivered."""
    num_in_flight: int
    """Delivered, not yet acknowledged."""
    num_redelivered: int


async def consumer_lag(bus: Bus) -> list[ConsumerLag]:
    """The lag of every durable consumer that stands, in the catalogue's order.

    Raises:
        Retryable: the broker is away.
    """
    found: dict[str, api.ConsumerInfo] = {}
    try:
        for stream in sorted({row.stream for row in CATALOGUE}):
            found |= {info.name: info for info in await bus.js.consumers_info(stream.value)}
    except (*UNAVAILABLE, APIError) as error:
        raise Retryable(f"consumers can't be listed: {error!r}") from error
    lags = []
    for row in CATALOGUE:
        for room in row.to:
            suffix = durable_name("", row).removeprefix("_")
            for name in sorted(found):
                kind = name.removeprefix(f"{room.value}_").removesuffix(f"_{suffix}") if row.subject == "generation.requested" else None
                if name == durable_name(room, row, kind):
                    info = found[name]
                    lags.append(
                        ConsumerLag(room, row.subject, kind, info.num_pending or 0, info.num_ack_pending or 0, info.num_redelivered or 0)
                    )
    return lags


def row_of(subject: str) -> EventType:
    """The catalogue's row of a full subject.

    Raises:
        Rejected: no row has it.
    """
    prefix = ".".join(subject.split(".")[:2])
    if prefix not in BY_SUBJECT:
        raise Rejected(f"{subject}: no event of the catalogue has this subject")
    return BY_SUBJECT[prefix]


def _subjects_of_run(stream: Stream, run_id: str) -> list[str]:
    rows = [row for row in CATALOGUE if row.stream is stream]
    return [f"{row.subject}.*.{run_id}" if row.subject == "generation.requested" else f"{row.subject}.{run_id}" for row in rows]


def _event_of(stored: Stored, seen: set[str]) -> tuple[str, Event, datetime] | None:
    event_id = stored.headers.get("ce-id", "")
    if event_id in seen:
        return None
    try:
        event = unseal(row_of(stored.subject), stored.subject, stored.headers, stored.payload)
    except Rejected as error:
        log.warning("unreadable event left out", subject=stored.subject, sequence=stored.sequence, reason=str(error))
        return None
    seen.add(event_id)
    return stored.subject, event, _datetime(stored.stored_at_ns)


async def _pump(bus: Bus, stream: Stream, run_id: str, from_sequence: int, arrivals: asyncio.Queue[Stored | None]) -> None:
    while not bus.client.is_closed and not bus.closed.done():
        start = api.ConsumerConfig(opt_start_seq=from_sequence, deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE)
        try:
            async with _reader(bus, stream, _subjects_of_run(stream, run_id), start) as reader:
                while True:
                    for stored in await _read(reader, is_end_expected=True):
                        from_sequence = stored.sequence + 1
                        arrivals.put_nowait(stored)
        except (*UNAVAILABLE, APIError) as error:
            # The reader lives in the broker's memory: after a restart a new one goes on where it stopped.
            log.debug("reading again", stream=stream.value, reason=repr(error))
            await asyncio.sleep(0.5)
    arrivals.put_nowait(None)


async def _scan_to(
    last: int, bus: Bus, stream: Stream, subjects: Sequence[str], start: api.ConsumerConfig, *, headers_only: bool
) -> AsyncGenerator[Stored, None]:
    """Reads up to a message that is there."""
    sequence = 0
    try:
        async with _reader(bus, stream, subjects, start, headers_only=headers_only) as reader:
            while sequence < last:
                for stored in await _read(reader):
                    sequence = stored.sequence
                    if sequence <= last:
                        yield stored
    except (*UNAVAILABLE, APIError) as error:
        raise _unreadable(stream, error) from error


def _unreadable(stream: Stream, error: Exception) -> Retryable:
    return Retryable(f"stream {stream.value} can't be read: {error!r}")


@asynccontextmanager
async def _reader(
    bus: Bus, stream: Stream, subjects: Sequence[str], start: api.ConsumerConfig, *, headers_only: bool = False
) -> AsyncIterator[JetStreamContext.PullSubscription]:
    config = start.evolve(
        name=f"reader-{uuid.uuid4().hex}",
        ack_policy=api.AckPolicy.NONE,
        filter_subjects=list(subjects),
        headers_only=headers_only,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=30.0,
    )
    info = await bus.js.add_consumer(stream.value, config)
    reader = await bus.js.pull_subscribe_bind(consumer=info.name, stream=stream.value)
    try:
        yield reader
    finally:
        if bus.client.is_connected:
            await reader.unsubscribe()
            await bus.js.delete_consumer(stream.value, info.name)


async def _read(reader: JetStreamContext.PullSubscription, *, is_end_expected: bool = False) -> list[Stored]:
    try:
        messages = await reader.fetch(_BATCH, timeout=_NEWS_TIMEOUT_S if is_end_expected else _READ_TIMEOUT_S)
    except nats.errors.TimeoutError:
        if is_end_expected and reader._nc.is_connected:
            return []
        raise
    stored = []
    for message in messages:
        at = position(message)
        stored.append(Stored(message.subject, message.headers or {}, message.data, at.sequence, at.stored_at_ns))
    return stored


def _datetime(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)
