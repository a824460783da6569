"""Rooms of yesterday's and of tomorrow's contract beside those of today's."""

import base64
import dataclasses
import typing
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, get_args

import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spiral.v1 import planner_pb2, planner_pb2_grpc

from services.planner import codec
from services.planner.ledger import PlanLedger
from services.planner.run_ledger import RunLedger
from services.planner.service import PlannerServicer
from shared import wire, wire_json
from shared.catalogue import CATALOGUE, Room
from shared.domain import ArtifactRef, Carried, ModelVersion
from shared.events import Event
from shared.rpc import RpcServer, open_channel
from shared.run_spec import PlanningSpec
from shared.service import Servicer
from shared.twins import TWINS, message_type, own_fields
from tests.contract.test_wire import instances_of
from tests.contract_versions import RELEASES, Contract, as_said, filled, released, say_more, tomorrow, without_added
from tests.examples import artifact, model
from tests.unit.planner.planted import CELLS, diagnosed

CARRIED = frozenset(twin for twin in TWINS if issubclass(twin, Carried))
CARRIED_NAMES = frozenset(twin.__name__ for twin in CARRIED)
a_few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
every_twin = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
every_release = pytest.mark.parametrize("image", RELEASES, ids=lambda image: image.stem)

release = cache(released)
newer = cache(tomorrow)


def reachable(kinds: Iterable[Any]) -> set[type[Any]]:
    """The dataclasses that some types are made of, themselves included."""
    found: set[type[Any]] = set()
    for kind in kinds:
        if dataclasses.is_dataclass(kind) and kind not in found:
            found |= {kind, *reachable(typing.get_type_hints(kind).values())}  # type: ignore[arg-type]
        else:
            found |= reachable(get_args(kind))
    return found


def test_exactly_what_some_room_hands_on_carries_what_is_unknown() -> None:
    handed_on: set[type[Any]] = set()
    for room in set(Room) - {Room.CLI}:
        heard = reachable(row.message for row in CATALOGUE if room in row.to)
        kept = reachable([RunLedger, PlanLedger]) if room is Room.PLANNER else set()
        handed_on |= heard & (reachable(row.message for row in CATALOGUE if room in row.by) | kept)
    made_anew = {"CellWeight"}
    assert {kind.__name__ for kind in handed_on if not issubclass(kind, Event)} - made_anew == CARRIED_NAMES


@every_release
@every_twin
@given(draw=st.data())
@a_few
def test_what_a_released_room_says_is_understood_and_answered_in_its_words(image: Path, twin: type[Any], draw: st.DataObject) -> None:
    contract = release(image)
    if twin.__name__ not in contract.names:
        return
    said = draw.draw(filled(contract.message(twin.__name__)))
    value = wire.decode(twin, said.SerializeToString())
    answer = type(said).FromString(wire.encode(value))
    answer.DiscardUnknownFields()  # type: ignore[attr-defined]
    assert as_said(answer, said) == said
    kept = MessageToDict(said, preserving_proto_field_name=True)
    assert wire_json.from_json(twin, kept) == value, "manifests of that release"


@every_release
def test_a_field_that_is_younger_than_a_release_says_what_its_absence_means(image: Path) -> None:
    contract = release(image)
    wanting = []
    for twin in (twin for twin in TWINS if twin.__name__ in contract.names):
        known = contract.message(twin.__name__).DESCRIPTOR.fields_by_name
        fields = message_type(twin).DESCRIPTOR.fields_by_name
        for field in own_fields(twin):
            can_be_absent = fields[field.name].has_presence or fields[field.name].is_repeated
            if field.name not in known and (field.default is dataclasses.MISSING or not can_be_absent):
                wanting.append(f"{twin.__name__}.{field.name}")
    assert not wanting, "declare them `optional` in the proto and give their twins a default: see proto/README.md"


@every_twin
@given(draw=st.data())
@a_few
def test_what_a_newer_room_says_is_understood_and_handed_on_whole(twin: type[Any], draw: st.DataObject) -> None:
    newer_type = newer().message(twin.__name__)
    said = say_more(draw.draw(filled(newer_type)))
    value = wire.decode(twin, said.SerializeToString())
    expected = without_added(newer_type.FromString(said.SerializeToString()), CARRIED_NAMES)

    def handed_on(handed: Any) -> Message:
        return as_said(newer_type.FromString(wire.encode(handed)), expected)

    assert handed_on(value) == expected
    through_json = wire_json.from_json(twin, wire_json.to_json(value))
    assert handed_on(through_json) == expected, "manifests"
    if twin in reachable([RunLedger, PlanLedger]):
        through_ledger = codec.from_json(twin, codec.to_json(value))
        assert handed_on(through_ledger) == expected, "ledgers"
    assert wire_json.from_json(twin, MessageToDict(said, preserving_proto_field_name=True)) == value, "manifests of a newer room"


def varint(number: int) -> bytes:
    head = bytes([number & 0x7F | 0x80]) if number > 0x7F else bytes([number])
    return head + varint(number >> 7) if number > 0x7F else head


def raw_fields() -> st.SearchStrategy[bytes]:
    number = st.integers(1_000, 2**29 - 1)
    contents = st.one_of(
        st.tuples(st.just(0), st.integers(0, 2**64 - 1).map(varint)),
        st.tuples(st.just(1), st.binary(min_size=8, max_size=8)),
        st.tuples(st.just(2), st.binary(max_size=20).map(lambda content: varint(len(content)) + content)),
        st.tuples(st.just(5), st.binary(min_size=4, max_size=4)),
    )
    return st.builds(lambda field, content: varint(field << 3 | content[0]) + content[1], number, contents)


@pytest.mark.parametrize("twin", sorted(CARRIED, key=lambda twin: twin.__name__), ids=lambda twin: twin.__name__)
@given(draw=st.data(), unknown=st.lists(raw_fields(), min_size=1, max_size=4).map(b"".join))
@a_few
def test_any_unknown_field_is_kept_byte_by_byte_and_decides_nothing(twin: type[Any], draw: st.DataObject, unknown: bytes) -> None:
    value = draw.draw(instances_of(twin))
    heard = wire.decode(twin, wire.encode(value) + unknown)
    assert heard == value
    assert hash(heard) == hash(value)
    for kept in (
        heard,
        wire.decode(twin, wire.encode(heard)),
        dataclasses.replace(heard),
        codec.from_json(twin, codec.to_json(heard)),
        wire_json.from_json(twin, wire_json.to_json(heard)),
    ):
        assert kept.unknown_fields == unknown


@every_twin
@given(draw=st.data())
@a_few
def test_the_json_of_a_value_is_that_of_its_message(twin: type[Any], draw: st.DataObject) -> None:
    value = draw.draw(instances_of(twin))
    assert ParseDict(wire_json.to_json(value), message_type(twin)()) == wire.to_wire(value)


def test_manifests_and_ledgers_of_the_first_release_are_read() -> None:
    kept = {"model_id": "r1/0", "iteration": 0, "checkpoint": {"uri": "spiral://checkpoint", "sha256": "ab" * 32, "num_bytes": 10}}
    assert wire_json.from_json(ModelVersion, {**kept, "parent_model_id": ""}) == model("r1")
    assert "unknown_fields" not in codec.to_json(model("r1")).decode(), "a planner of that release takes the ledger up again"


def test_what_a_ledger_kept_without_knowing_is_known_after_the_upgrade() -> None:
    parent = dataclasses.replace(model("r1"), parent_model_id="r1/3")
    field = message_type(ModelVersion)(parent_model_id="r1/3").SerializeToString()
    older = codec.to_json(model("r1")).decode().replace('"parent_model_id":""', f'"unknown_fields":"{base64.b64encode(field).decode()}"')
    read = codec.from_json(ModelVersion, older.encode())
    assert (read, read.unknown_fields) == (parent, b"")


def test_a_value_of_today_costs_a_manifest_nothing() -> None:
    assert wire_json.to_json(artifact("a")) == {"uri": "spiral://a", "sha256": "ab" * 32, "num_bytes": 10}
    assert wire_json.from_json(ArtifactRef, {**wire_json.to_json(artifact("a")), "colour": "of tomorrow"}) == artifact("a")


async def test_a_request_of_a_newer_client_is_answered() -> None:
    request = planner_pb2.PreviewMixtureRequest(planning=wire.to_wire(PlanningSpec(num_samples=100, max_candidates=300)))  # type: ignore[arg-type]
    request.cells.extend(wire.to_wire(diagnosed(cell, 50)) for cell in CELLS[:3])  # type: ignore[misc]
    contract: Contract = newer()
    said = say_more(contract.message("PreviewMixtureRequest").FromString(request.SerializeToString()))
    add: Callable[[Any, grpc.aio.Server], None] = planner_pb2_grpc.add_PlannerServiceServicer_to_server
    server = RpcServer([Servicer("spiral.v1.PlannerService", add, PlannerServicer())], host="127.0.0.1", port=0, deadline_s=5)
    port = await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/spiral.v1.PlannerService/PreviewMixture")
            answer = planner_pb2.PreviewMixtureResponse.FromString(await call(said.SerializeToString(), timeout=5))
    finally:
        await server.stop(0)
    assert sum(quota.num_samples for quota in answer.quotas) == 100
