"""The broker's users: what the catalogue lets a room say, and nothing that another room says."""

import pytest

from deploy.nats import users
from shared.catalogue import CATALOGUE, Room


def test_the_file_is_what_the_catalogue_derives() -> None:
    assert users.FILE.read_text() == users.config(), "write it anew: python -m deploy.nats.users"


@pytest.mark.parametrize("room", [room for room in Room if room is not Room.CLI])
def test_a_room_publishes_its_own_events_alone(room: Room) -> None:
    allowed = users.publishes(room)
    assert {row.subject for row in CATALOGUE if f"{row.subject}.>" in allowed} == {row.subject for row in CATALOGUE if room in row.by}
    assert not {">", "*", "$JS.>", "$JS.API.>", "$KV.>", "dead.>"} & set(allowed)
    assert not any(".STREAM.DELETE." in subject for subject in allowed)


def test_only_the_planner_marks_runs_as_finished_and_nobody_but_the_console_makes_them() -> None:
    writers = {bucket: {room for room in Room if f"$KV.{bucket}.>" in users.publishes(room)} for bucket in users.BUCKETS}
    assert writers["spiral_runs_finished"] == {Room.PLANNER}
    assert writers["spiral_runs"] == set()
    assert writers["spiral_paused_kinds"] == set()
    assert "$KV.>" in users.publishes(Room.CLI)
