"""What rides around an event on the bus: an id that derives from the cause, CloudEvents attributes, trace context.

The id is the sha256 of producer, cause, subject and the event's place among those of its type (or an explicit key). So a handler that
runs twice on one event says the same things under the same ids, and the stream keeps the first.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.msg import Msg

from shared import wire
from shared.catalogue import BY_MESSAGE, CATALOGUE, EventType, Room, subject_of
from shared.errors import Rejected
from shared.events import Event, GenerationRequested
from shared.ports import Cause
from shared.service import Keyed

MESSAGE_ID = "Nats-Msg-Id"
CAUSED_AT = "Spiral-Caused-At"
"""When the stream stored the cause (ns since the epoch): an event that was stored later than a duplicate window after may be a repeat."""
STORED_AT = "Spiral-Stored-At"
"""On a replayed dead letter: when the stream first stored the event."""

_CE_TYPES: dict[type[Event], str] = {row.message: f"spiral.v1.{row.message.__name__}" for row in CATALOGUE}


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event ready to be published."""

    event: Event
    event_id: str
    subject: str
    payload: bytes
    headers: dict[str, str]


class Consequences:
    """Seals what follows from one cause, in order."""

    def __init__(self, producer: Room, cause: Cause, trace_headers: Mapping[str, str]) -> None:
        self._producer = producer
        self._cause = cause
        self._trace_headers = trace_headers
        self._ordinals: Counter[type[Event]] = Counter()

    def seal(self, consequence: Event | Keyed) -> Sealed:
        """The next consequence with its headers.

        Raises:
            TypeError: it is no event of the catalogue, or not one that this producer may publish.
        """
        if isinstance(consequence, Keyed):
            event, key = consequence.event, consequence.key
        else:
            event, key = consequence, str(self._ordinals[type(consequence)])
            self._ordinals[type(consequence)] += 1
        row = BY_MESSAGE.get(type(event))
        if row is None or self._producer not in row.by:
            raise TypeError(f"{type(event).__name__} is nothing that the {self._producer.value} publishes")
        subject = subject_of(event)
        event_id = consequence_id(self._producer, self._cause.event_id, subject, key)
        headers = {
            MESSAGE_ID: event_id,
            "ce-id": event_id,
            "ce-type": _CE_TYPES[type(event)],
            "ce-source": f"/spiral/{self._producer.value}",
            "ce-time": datetime.now(UTC).isoformat(),
            "ce-specversion": "1.0",
            CAUSED_AT: str(self._cause.stored_at_ns),
            **self._trace_headers,
        }
        return Sealed(event, event_id, subject, wire.encode(event), headers)


def consequence_id(producer: str, cause_id: str, subject: str, key: str) -> str:
    """The id of an event: the same for the same cause, however often it is handled."""
    return hashlib.sha256(f"{producer}\n{cause_id}\n{subject}\n{key}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Position:
    """Where a message stands in its stream, and how often it was delivered."""

    stream: str
    consumer: str
    attempt: int
    sequence: int
    stored_at_ns: int
    num_pending: int


def position(msg: Msg) -> Position:
    """Reads a delivery's reply subject; exact to the nanosecond, unlike the client's own datetime.

    Raises:
        ValueError: the message was not delivered by a consumer.
    """
    tokens = msg.reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < 9:
        raise ValueError(f"{msg.subject}: not a delivery of a consumer")
    # $JS.ACK.STREAM.CONSUMER..., or $JS.ACK.DOMAIN.ACCOUNT.STREAM.CONSUMER... with a domain
    stream, consumer, attempt, sequence, _, stored_at, num_pending = tokens[2:9] if len(tokens) == 9 else tokens[4:11]
    return Position(stream, consumer, int(attempt), int(sequence), int(stored_at), int(num_pending))


def cause_of(headers: Mapping[str, str], stored_at_ns: int) -> Cause:
    """What follows from a message follows from this; the same for a replayed dead letter as for the original.

    Raises:
        Rejected: the message has no id.
    """
    event_id = headers.get("ce-id") or headers.get(MESSAGE_ID)
    if not event_id:
        raise Rejected("the message has no ce-id header: publish with the headers of a CloudEvent")
    return Cause(event_id, int(headers.get(STORED_AT, stored_at_ns)))


def may_be_repeat(headers: Mapping[str, str], stored_at_ns: int, duplicate_window_s: float) -> bool:
    """Whether an event was stored so long after its cause that the stream may have forgotten an earlier copy."""
    caused_at = headers.get(CAUSED_AT, "")
    return not caused_at.isdigit() or stored_at_ns - int(caused_at) > duplicate_window_s * 1e9


def unseal(row: EventType, subject: str, headers: Mapping[str, str], payload: bytes) -> Event:
    """The event in a message, checked against the catalogue.

    Raises:
        Rejected: unknown type or version, malformed, or published under another run's or kind's subject.
    """
    ce_type = headers.get("ce-type", "")
    if ce_type != _CE_TYPES[row.message]:
        raise Rejected(f"{subject}: unknown event type {ce_type!r}, not {_CE_TYPES[row.message]!r}; is the sender newer than this room?")
    event = wire.decode(row.message, payload)
    if subject != subject_of(event):
        kind = f" of kind {event.lease.kind}" if isinstance(event, GenerationRequested) else ""
        raise Rejected(f"{subject}: the event belongs to run {event.run_id}{kind}")
    return event
