"""A generator written elsewhere, as its own process, from the registry to a sealed dataset; and what its faults cost."""

import ast
import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from services.quality.derivation import derive
from services.quality.scene_description import Query, parse_scene
from shared.bus import Bus, connect
from shared.catalogue import Stream
from shared.dead_letters import list_dead
from shared.domain import Cell, ImageCategory, QuestionType, RejectionReason
from shared.events import CandidatesGenerated, CandidatesReviewed
from shared.history import scan
from shared.settings import RoomSettings
from shared.tables import CANDIDATES
from tests.broker import NatsServer
from tests.contract.s3_endpoint import KEY, SECRET, free_port, serve_s3
from tests.settings import room_settings
from tests.third_party.stage import HERE, Stage, check_whole, staged

README = HERE.parents[1] / "services" / "generators" / "README.md"
COUNT = Cell(ImageCategory.ARCHITECTURAL, QuestionType.NUMERIC)


@pytest.fixture
async def stage(bus: Bus, settings: RoomSettings, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(bus, settings, tmp_path) as one:
        yield one


def test_it_knows_the_proto_and_nothing_else_of_spiral() -> None:
    for name in ("generator.py", "house_fronts.py", "misbehaving.py"):
        nodes = list(ast.walk(ast.parse((HERE / name).read_text(encoding="utf-8"))))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in imported} & {"shared", "services", "deploy", "tests"}


def test_the_reference_names_the_columns_and_queries_that_quality_reads() -> None:
    text = README.with_name("scene.md").read_text(encoding="utf-8")
    columns, queries = text.split("## `spiral.scene/1`")
    assert re.findall(r"^\| `(\w+)` \|", columns, re.MULTILINE) == CANDIDATES.names
    rows = re.findall(r"^\| (`.*?) \|", queries, re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"\w+", row) if row != "`op`"]
    known = [name for query in get_args(get_args(Query)[0]) for name in get_args(query.model_fields["op"].annotation)]
    assert sorted(documented) == sorted(known)
    (example,) = re.findall(r"```json\n(.*?)```", queries, re.DOTALL)
    assert derive(parse_scene(example)) == 1


async def test_from_the_registry_to_accepted_samples_and_a_clean_goodbye(stage: Stage) -> None:
    with stage.generator() as process:
        await stage.living()
        await stage.ask()
        check_whole(*await stage.sealed())
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
        await stage.living(0)
    assert not await list_dead(stage.bus)


async def test_on_an_s3_server(settings: RoomSettings, tmp_path: Path) -> None:
    (tmp_path / "s3" / "spiral").mkdir(parents=True)
    port = free_port()
    own = settings.model_copy(update={"store_url": f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/spiral/some/prefix"})
    with serve_s3(tmp_path / "s3", port):
        async with connect(own, "test") as bus:
            await bus.declare_streams()
            async with staged(bus, own, tmp_path) as stage:
                with stage.generator():
                    await stage.living()
                    await stage.ask()
                    check_whole(*await stage.sealed())


async def test_as_a_user_of_its_own_with_the_permissions_that_the_readme_gives(tmp_path: Path) -> None:
    (user,) = re.findall(r"^```\n(\{\n  user: thirdparty\n.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    users = f'NATS_THIRDPARTY_PASSWORD: "theirs"\nauthorization {{ users: [ {{ user: rooms, password: "ours" }}, {user} ] }}'
    server = NatsServer(tmp_path / "nats", more=users)
    server.start()
    own = room_settings(server, tmp_path, bus_url=server.url.replace("//", "//rooms:ours@"))
    try:
        async with connect(own, "test") as bus:
            await bus.declare_streams()
            async with staged(bus, own, tmp_path) as stage:
                stage.generator_bus_url = server.url.replace("//", "//thirdparty:theirs@")
                with stage.generator() as process:
                    await stage.living()
                    await stage.ask()
                    check_whole(*await stage.sealed())
                    process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(process.wait, 15) == 0
                    await stage.living(0)
                assert "iolation" not in stage.log.read_text()
    finally:
        server.stop()


async def test_killed_with_a_lease_in_its_hands_and_started_again(stage: Stage, tmp_path: Path) -> None:
    with stage.generator("misbehaving.py", "waiting", str(tmp_path / "never")) as process:
        await stage.living()
        await stage.ask()
        await stage.holds_a_lease()
        process.kill()
        with stage.generator():
            check_whole(*await stage.sealed())


async def test_frozen_until_another_replica_answered_in_its_place(stage: Stage, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with stage.generator("misbehaving.py", "waiting", str(gate)) as frozen:
        await stage.living()
        await stage.ask()
        await stage.holds_a_lease()
        frozen.send_signal(signal.SIGSTOP)
        with stage.generator() as other:
            events, samples = await stage.sealed()
            other.send_signal(signal.SIGTERM)
            await asyncio.to_thread(other.wait, 15)
        gate.touch()
        frozen.send_signal(signal.SIGCONT)
        frozen.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(frozen.wait, 15) == 0
    assert "handed back" not in stage.log.read_text()
    check_whole(events, samples)
    num_answers = len([stored async for stored in scan(stage.bus, Stream.WORK, ["candidates.generated.run"])])
    assert num_answers == sum(isinstance(event, CandidatesGenerated) for event in events)


async def test_a_wrong_answer_is_refused_and_replaced(stage: Stage) -> None:
    with stage.generator("misbehaving.py", "lying"):
        await stage.living()
        await stage.ask()
        events, samples = await stage.sealed()
    check_whole(events, samples)
    reviews = [event for event in events if isinstance(event, CandidatesReviewed)]
    wrong = {review.lease.lease_id: review.verdicts[0] for review in reviews if review.lease.cell == COUNT}
    assert len(wrong) > 1
    assert {verdict.reason for verdict in wrong.values()} == {RejectionReason.WRONG_ANSWER}
    assert "the label is '99'" in next(iter(wrong.values())).detail
    assert not [sample for sample in samples if sample.answer == "99"]


async def test_a_malformed_table_is_a_dead_letter_and_costs_its_lease_alone(stage: Stage) -> None:
    with stage.generator("misbehaving.py", "malformed"):
        await stage.living()
        await stage.ask()
        events, samples = await stage.sealed()
    check_whole(events, samples)
    (letter,) = await list_dead(stage.bus)
    assert letter.obituary.room == "quality"
    assert "run.1.architectural.text.1" in letter.obituary.reason
    assert "is not a Parquet file" in letter.obituary.reason
    assert [event.lease.lease_id for event in events if isinstance(event, CandidatesReviewed) and not event.verdicts] == [
        "run.1.architectural.text.1"
    ]
