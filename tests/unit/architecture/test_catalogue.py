"""Table, protobuf, handlers and servers agree."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from spiral.v1 import events_pb2

from shared import events
from shared.catalogue import BY_MESSAGE, CATALOGUE, Room, Stream, stream_subjects
from tests.unit.architecture.test_house import ROOMS, ROOT


def handled_by(room: Room) -> set[str]:
    """The events in the literal `handlers={...}` of a room's service."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "services" / ROOMS[room] / "service.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "handlers" and isinstance(node.value, ast.Dict):
            found |= {ast.unparse(key).rpartition(".")[2] for key in node.value.keys if key is not None}
    return found


def said_by(room: Room) -> set[str]:
    """The catalogue's events that a room's files construct."""
    names = {message.__name__ for message in BY_MESSAGE}
    found = set()
    for path in (ROOT / "services" / ROOMS[room]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found.add(ast.unparse(node.func).rpartition(".")[2])
    return found & names


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_handles_exactly_what_the_catalogue_sends_it(room: Room) -> None:
    assert handled_by(room) == {row.message.__name__ for row in CATALOGUE if room in row.to}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_exactly_what_the_catalogue_has_it_say(room: Room) -> None:
    assert said_by(room) == {row.message.__name__ for row in CATALOGUE if room in row.by}


def is_event(message: Descriptor) -> bool:
    return [field.name for field in message.fields[:2]] == ["run_id", "iteration"]


def test_every_event_of_the_protobuf_is_in_the_table_in_flow_order() -> None:
    messages = [name for name, message in events_pb2.DESCRIPTOR.message_types_by_name.items() if is_event(message)]
    assert messages == [row.message.__name__ for row in CATALOGUE]
    assert {cls.__name__ for cls in events.Event.__subclasses__()} == set(messages)


def test_subjects_are_told_apart_and_every_stream_but_the_dead_is_used() -> None:
    assert max(Counter(row.subject for row in CATALOGUE).values()) == 1
    assert {row.stream for row in CATALOGUE} == set(Stream) - {Stream.DEAD}
    bound = [subject for stream in Stream for subject in stream_subjects(stream)]
    assert len(bound) == len(set(bound))


def test_every_service_of_the_protobuf_is_served_by_one_room() -> None:
    declared = set()
    for path in (ROOT / "proto" / "spiral" / "v1").glob("*.proto"):
        declared |= set(re.findall(r"^service (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    served = Counter(
        name
        for room in ROOMS.values()
        for name in re.findall(r'"spiral\.v1\.(\w+)"', Path(ROOT / "services" / room / "service.py").read_text(encoding="utf-8"))
    )
    assert served == Counter(declared)
