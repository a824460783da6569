"""Dead letters: events that can't be handled, kept with the reason until somebody replays or drops them."""

import json
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from nats.js.errors import APIError, NotFoundError
from pydantic import TypeAdapter

from shared.bus import UNAVAILABLE, Bus
from shared.catalogue import Stream, dead_subject
from shared.envelope import MESSAGE_ID, STORED_AT, unseal
from shared.errors import NotFound, Rejected, Retryable
from shared.events import Event
from shared.history import row_of, scan

_OBITUARY = "Spiral-Dead"
_MAX_TRACEBACK_CHARS = 16_000
_MAX_REASON_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Obituary:
    """Why and where an event died."""

    subject: str
    message_id: str
    stored_at_ns: int
    room: str
    consumer: str
    attempt: int
    error_type: str
    reason: str
    traceback: str
    """Empty for a refusal."""
    died_at: str
    """ISO 8601."""


# What a room of a newer version adds is passed over.
_PARSED = TypeAdapter(Obituary)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter; `sequence` names it."""

    sequence: int
    obituary: Obituary
    headers: dict[str, str]
    payload: bytes

    def event(self) -> Event:
        """The event itself.

        Raises:
            Rejected: it can't be read, which may be why it died.
        """
        return unseal(row_of(self.obituary.subject), self.obituary.subject, self.headers, self.payload)


async def bury(
    bus: Bus,
    subject: str,
    headers: Mapping[str, str],
    payload: bytes,
    error: BaseException,
    *,
    stored_at_ns: int,
    room: str,
    consumer: str,
    attempt: int,
    sequence: int,
) -> None:
    """Stores a dead letter; the same delivery buried twice is stored once.

    Raises:
        Retryable: the broker is away.
        Rejected: the dead letter is too large for the broker.
    """
    message_id = headers.get(MESSAGE_ID) or f"{consumer}:{sequence}"
    trace = "" if isinstance(error, Rejected) else "".join(traceback.format_exception(error))[-_MAX_TRACEBACK_CHARS:]
    obituary = Obituary(
        subject=subject,
        message_id=message_id,
        stored_at_ns=int(headers.get(STORED_AT, stored_at_ns)),
        room=room,
        consumer=consumer,
        attempt=attempt,
        error_type=type(error).__name__,
        reason=(str(error) or type(error).__name__)[:_MAX_REASON_CHARS],
        traceback=trace,
        died_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    # The broker's own headers (say, an expected sequence) belonged to the first publishing.
    kept = {name: value for name, value in headers.items() if not name.startswith("Nats-")}
    await bus.publish(
        dead_subject(subject),
        payload,
        {**kept, MESSAGE_ID: f"{message_id}:dead:{consumer}", _OBITUARY: json.dumps(asdict(obituary))},
    )


async def list_dead(bus: Bus) -> list[DeadLetter]:
    """All dead letters, oldest first."""
    return [_dead_letter(stored.sequence, stored.headers, stored.payload) async for stored in scan(bus, Stream.DEAD, ["dead.>"])]


async def show_dead(bus: Bus, sequence: int) -> DeadLetter:
    """One dead letter.

    Raises:
        NotFound: there is none of that number.
    """
    try:
        message = await bus.js.get_msg(Stream.DEAD.value, seq=sequence)
    except NotFoundError as error:
        raise NotFound(f"there is no dead letter {sequence}: it was replayed or dropped, or never was") from error
    except (*UNAVAILABLE, APIError) as error:
        raise Retryable(f"dead letter {sequence} can't be read: {error!r}") from error
    return _dead_letter(sequence, message.headers or {}, message.data or b"")


async def replay_dead(bus: Bus, sequence: int) -> str:
    """Publishes a dead letter to its subject again and removes it; returns the message id that it goes under.

    The room handles it as the original: what follows has the ids that it would have had.

    Raises:
        NotFound: there is none of that number.
    """
    letter = await show_dead(bus, sequence)
    headers = {name: value for name, value in letter.headers.items() if name not in (_OBITUARY, MESSAGE_ID)}
    # Numbered by the letter: a replay that dies before the removal says the same again, and the stream drops it.
    message_id = f"{letter.obituary.message_id}:replay-{sequence}"
    await bus.publish(
        letter.obituary.subject,
        letter.payload,
        {**headers, MESSAGE_ID: message_id, STORED_AT: str(letter.obituary.stored_at_ns)},
    )
    await drop_dead(bus, sequence)
    return message_id


async def drop_dead(bus: Bus, sequence: int) -> None:
    """Removes a dead letter for good; absent is fine."""
    try:
        await bus.js.delete_msg(Stream.DEAD.value, sequence)
    except NotFoundError:
        return
    except (*UNAVAILABLE, APIError) as error:
        raise Retryable(f"dead letter {sequence} can't be removed: {error!r}") from error


def _dead_letter(sequence: int, headers: dict[str, str], payload: bytes) -> DeadLetter:
    return DeadLetter(sequence, _PARSED.validate_json(headers[_OBITUARY]), headers, payload)
