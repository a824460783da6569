"""`python -m deploy.nats.users`: writes users.conf, one user of the broker for each room, with what the catalogue lets it say.

A room publishes its own events, dead letters of those that it takes, and acknowledgements of its own consumers; it hears answers to its
own requests alone. The operator's console may do everything. What one room could still do to another: read what stands in a stream of
its own, and, where leases are concerned, meddle with the consumers of generator kinds, which are not known in advance.
"""

from collections.abc import Iterator
from pathlib import Path

from services.planner.service import BUCKET as LEDGERS
from services.quality.acceptance_log import BUCKET as FINGERPRINTS
from services.trainer.trainings import BUCKET as CANCELLED_TRAININGS
from shared.catalogue import CATALOGUE, EventType, Room, Stream, dead_subject, durable_name
from shared.events import GenerationRequested
from shared.llm.spending import BUCKET as SPENDING
from shared.presence import BUCKET as ROOMS
from shared.registry import BUCKET as GENERATORS
from shared.registry import PAUSED
from shared.runs import FINISHED, RUNS

FILE = Path(__file__).with_name("users.conf")

BUCKETS: dict[str, tuple[tuple[Room, ...], tuple[Room, ...]]] = {
    ROOMS: (tuple(Room), ()),
    RUNS: ((), tuple(Room)),
    FINISHED: ((Room.PLANNER,), tuple(Room)),
    GENERATORS: ((Room.GENERATORS,), (Room.PLANNER,)),
    PAUSED: ((), (Room.PLANNER,)),
    LEDGERS: ((Room.PLANNER,), ()),
    CANCELLED_TRAININGS: ((Room.TRAINER,), ()),
    FINGERPRINTS: ((Room.QUALITY,), ()),
    SPENDING: ((Room.GENERATORS, Room.QUALITY), ()),
}
"""Each bucket, who writes it and who reads it; the console does both everywhere."""

_HEADER = """\
# One user for each room, with what the catalogue lets it say. Made by `python -m deploy.nats.users`: change that, not this.
# Passwords come from the environment; let them begin with a letter, for the broker takes one of digits for a number.
"""


def publishes(room: Room) -> list[str]:
    """The subjects that a room may publish to."""
    if room is Room.CLI:
        # The operator replays dead letters, so the console may say what any room says.
        return [*(f"{row.subject}.>" for row in CATALOGUE), "dead.>", "$JS.API.>", "$KV.>"]
    return [*_events(room), *_streams(room), *_consumers(room), *_buckets(room)]


def may_not_publish(room: Room) -> list[str]:
    """The subjects among them that belong to consumers of other rooms."""
    if room is Room.CLI:
        return []
    verbs = ["CREATE", "MSG.NEXT", "DELETE", *(["DURABLE.CREATE"] if room is Room.GENERATORS else [])]
    refused = []
    for row in CATALOGUE:
        for other in row.to:
            if other is not room and row.stream in _used(room) and row.message is not GenerationRequested:
                durable = durable_name(other, row)
                refused += [f"$JS.API.CONSUMER.{verb}.{row.stream.value}.{durable}" for verb in verbs]
                # Only where the room's own consumers can't be named is the rest of the stream's within reach.
                refused += [f"$JS.ACK.{row.stream.value}.{durable}.>"] if room is Room.GENERATORS else []
    return refused


def inbox(room: Room) -> str:
    """Where a room hears answers: no other room may listen there."""
    return f"_INBOX.{room.value}.>"


def config() -> str:
    """The text of users.conf."""
    blocks = [
        "\n".join(
            [
                "    {",
                f"      user: {room.value}",
                f"      password: $NATS_{room.value.upper()}_PASSWORD",
                "      permissions {",
                "        publish {",
                *_listed("allow", publishes(room)),
                *_listed("deny", may_not_publish(room)),
                "        }",
                f'        subscribe {{ allow: ["{inbox(room)}"] }}',
                "      }",
                "    }",
            ]
        )
        for room in Room
    ]
    return "\n".join([f"{_HEADER}\nauthorization {{\n  users: [", *blocks, "  ]\n}\n"])


def _events(room: Room) -> Iterator[str]:
    for row in CATALOGUE:
        if room in row.by:
            yield f"{row.subject}.>"
    for row in CATALOGUE:
        if room in row.to:
            yield f"{dead_subject(row.subject)}.>"


def _streams(room: Room) -> Iterator[str]:
    """Every room sees at its start that the streams stand as the catalogue says."""
    yield "$JS.API.INFO"
    for stream in Stream:
        for verb in ("INFO", "CREATE", "UPDATE"):
            yield f"$JS.API.STREAM.{verb}.{stream.value}"


def _consumers(room: Room) -> Iterator[str]:
    """Its durable consumers, and the passing readers with which it looks into a stream."""
    for stream in _used(room):
        yield f"$JS.API.STREAM.MSG.GET.{stream.value}"
        for verb in ("CREATE", "INFO", "MSG.NEXT", "DELETE"):
            yield f"$JS.API.CONSUMER.{verb}.{stream.value}.*"
    for row in CATALOGUE:
        if room in row.to:
            durable = _durable(room, row)
            yield f"$JS.API.CONSUMER.DURABLE.CREATE.{row.stream.value}.{durable}"
            yield f"$JS.ACK.{row.stream.value}.{durable}.>"


def _buckets(room: Room) -> Iterator[str]:
    for name, (writers, readers) in BUCKETS.items():
        if room not in (*writers, *readers):
            continue
        for verb in ("STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.MSG.GET"):
            yield f"$JS.API.{verb}.KV_{name}"
        if room in writers:
            yield f"$KV.{name}.>"
            yield f"$JS.API.STREAM.PURGE.KV_{name}"


def _used(room: Room) -> list[Stream]:
    """The streams that hold what a room says or takes."""
    return [stream for stream in Stream if any(row.stream is stream and room in (*row.by, *row.to) for row in CATALOGUE)]


def _durable(room: Room, row: EventType) -> str:
    # Kinds come and go: each has a consumer of its own.
    return "*" if row.message is GenerationRequested else durable_name(room, row)


def _listed(name: str, subjects: list[str]) -> list[str]:
    return [f"          {name}: [", *(f'            "{subject}"' for subject in subjects), "          ]"] if subjects else []


if __name__ == "__main__":
    FILE.write_text(config(), encoding="utf-8")
