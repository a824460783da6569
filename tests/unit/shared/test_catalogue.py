"""The catalogue against the contracts: every event is listed once, with messages that exist and subjects that do not overlap."""

import pytest
from spiral.v1 import events_pb2

from shared.catalogue import (
    BY_MESSAGE,
    BY_SUBJECT,
    CATALOGUE,
    Room,
    Stream,
    consumer_subject,
    dead_subject,
    diagram,
    durable_name,
    stream_subjects,
    subject_of,
)
from shared.domain import Cell, ImageCategory, Lease, QuestionType, Recipe
from shared.events import Event, GenerationRequested
from tests.examples import model, model_updated

LEASE = Lease("l1", Cell(ImageCategory.MAP, QuestionType.TEXT), Recipe.TEACH, "rendered", 1, 8, 4, 7, 0.5, 64, model("r1"))


def test_every_event_of_the_contracts_is_listed_and_no_other() -> None:
    messages = events_pb2.DESCRIPTOR.message_types_by_name
    events = {name for name, message in messages.items() if {"run_id", "iteration"} <= set(message.fields_by_name)}
    assert {row.message.__name__ for row in CATALOGUE} == events
    assert {event.__name__ for event in Event.__subclasses__()} == events


def test_the_catalogue_is_in_the_order_of_the_contracts() -> None:
    order = list(events_pb2.DESCRIPTOR.message_types_by_name)
    names = [row.message.__name__ for row in CATALOGUE]
    assert names == sorted(names, key=order.index)


def test_a_subject_and_a_message_stand_in_one_row() -> None:
    assert len(BY_MESSAGE) == len(BY_SUBJECT) == len(CATALOGUE)


def test_a_message_is_named_after_its_subject() -> None:
    for row in CATALOGUE:
        assert row.message.__name__ == "".join(part.capitalize() for part in row.subject.split("."))


def test_no_two_streams_bind_one_subject() -> None:
    bound = [subject for stream in Stream for subject in stream_subjects(stream)]
    assert len(bound) == len(set(bound)) == len(CATALOGUE) + 1


def test_durable_names_are_distinct_and_fit_for_a_subject_token() -> None:
    names = [durable_name(room, row) for row in CATALOGUE for room in row.to]
    assert len(names) == len(set(names))
    assert not any(set(" .*>") & set(name) for name in names)


def test_leases_are_routed_by_kind() -> None:
    requested = GenerationRequested("r1", 1, LEASE)
    row = BY_MESSAGE[GenerationRequested]
    assert subject_of(requested) == "generation.requested.rendered.r1"
    assert consumer_subject(row, "rendered") == "generation.requested.rendered.*"
    with pytest.raises(ValueError, match="per generator kind"):
        consumer_subject(row)


def test_a_dead_letter_keeps_its_subject() -> None:
    assert dead_subject(subject_of(model_updated("r1"))) == "dead.model.updated.r1"


def test_every_room_hears_or_says_something() -> None:
    assert {room for row in CATALOGUE for room in (*row.by, *row.to)} == set(Room)


def test_the_diagram_has_an_arrow_for_every_producer_and_consumer() -> None:
    arrows = diagram().splitlines()
    assert arrows[0] == "flowchart LR"
    assert "    evaluator -->|evaluation.completed| attributor" in arrows
    assert len(arrows) == 1 + sum(len(row.by) * len(row.to) for row in CATALOGUE)
