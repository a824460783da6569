"""One run's id and more than one who asks for it: at the same time, on a new broker, or with other wishes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from services.cli.audit_drawing import Drawn
from services.cli.audit_words import AuditBook
from services.cli.preparation import CheckedRun, check_run, prepare_run
from services.cli.record import read_records
from services.cli.run_settings import ProbeCounts, RunSettings
from services.cli.session import Session, Target, open_session
from shared.domain import AuditVerdict
from shared.errors import Rejected
from shared.events import LabelAudited
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, RunSpec, TrainingSpec
from shared.tables import Probe
from tests.broker import NatsServer
from tests.contract.s3_endpoint import KEY, SECRET, free_port, serve_s3
from tests.unit.trainer.drawn import draw_samples
from tests.user_files import write_checkpoint, write_images, write_jsonl


@pytest.fixture
def wish(tmp_path: Path) -> CheckedRun:
    """A run with a checkpoint and probes of the user's own."""
    folder = tmp_path / "probes"
    folder.mkdir()
    settings = RunSettings(
        model=write_checkpoint(tmp_path / "checkpoint"),
        probes=write_jsonl(folder / "probes.jsonl", write_images(folder)),
        seed=1,
        num_iterations=1,
        counts=ProbeCounts(),
        evaluation=EvaluationSpec(),
        planning=PlanningSpec(),
        quality=QualitySpec(),
        training=TrainingSpec(),
    )
    return check_run(settings, "mine")


@pytest.fixture(params=["directory", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh store; the S3 server lets the last of two writers win."""
    if request.param == "directory":
        yield f"file://{tmp_path}/objects"
        return
    (tmp_path / "s3" / "spiral").mkdir(parents=True)
    port = free_port()
    with serve_s3(tmp_path / "s3", port):
        yield f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/spiral"


@contextmanager
def new_broker(directory: Path) -> Iterator[NatsServer]:
    server = NatsServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def operator(server: NatsServer, store_url: str, directory: Path) -> AsyncIterator[Session]:
    async with open_session(Target(server.url, store_url, directory / "state")) as session:
        yield session


async def prepared(session: Session, wish: CheckedRun, say: Callable[[str], None] = lambda text: None) -> RunSpec:
    async def draw() -> Sequence[Probe]:
        raise AssertionError("the user brought probes")

    return await prepare_run(session, wish, draw, say)


async def content(session: Session) -> dict[str, str]:
    """Every manifest with its digest."""
    found = {name: await session.artifacts.find(name) for name in await session.artifacts.names("")}
    return {name: ref.sha256 for name, ref in found.items() if ref is not None}


async def test_two_who_ask_at_the_same_time_watch_one_run(wish: CheckedRun, store_url: str, tmp_path: Path) -> None:
    with new_broker(tmp_path / "nats") as server:
        async with operator(server, store_url, tmp_path) as one, operator(server, store_url, tmp_path) as two:
            first, second = await asyncio.gather(prepared(one, wish), prepared(two, wish))
            assert first == second
            assert [record.event.iteration for record in await read_records(one, "mine")] == [0]
            assert (await one.artifacts.manifest(first.base_checkpoint)).metadata["settings_digest"] == wish.digest


async def test_a_run_goes_on_where_only_its_store_is_left(wish: CheckedRun, store_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    with new_broker(tmp_path / "nats") as server:
        async with operator(server, store_url, tmp_path) as session:
            before = await prepared(session, wish, said.append)
            stored = await content(session)
    assert "storing the checkpoint" in said[0]
    said.clear()
    with new_broker(tmp_path / "another") as server:
        async with operator(server, store_url, tmp_path) as session:
            after = await prepared(session, wish, said.append)
            assert await content(session) == stored
            assert [record.event.run_id for record in await read_records(session, "mine")] == ["mine"]
    assert replace(after, created_at_ns=before.created_at_ns) == before
    assert said == ["the store holds run mine already, and the broker does not know it: going on from what was stored"]


async def test_what_people_said_of_labels_is_said_to_a_new_broker(wish: CheckedRun, store_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    sample = draw_samples(1, seed=1)[0]
    with new_broker(tmp_path / "nats") as server:
        async with operator(server, store_url, tmp_path) as session:
            await prepared(session, wish)
            word = await AuditBook(session, "mine", "ann", ()).say(Drawn(1, sample), AuditVerdict.WRONG, "says 7, is 8")
            await prepared(session, wish, said.append)
            assert said == [], "the broker knows it"
    with new_broker(tmp_path / "another") as server:
        async with operator(server, store_url, tmp_path) as session:
            await prepared(session, wish, said.append)
            words = [record.event for record in await read_records(session, "mine") if isinstance(record.event, LabelAudited)]
    assert words == [word]
    assert said[-1] == "1 word(s) on labels stood in the store and not in the broker: said again"


async def test_a_store_that_holds_another_run_of_that_id_is_left_alone(wish: CheckedRun, store_url: str, tmp_path: Path) -> None:
    with new_broker(tmp_path / "nats") as server:
        async with operator(server, store_url, tmp_path) as session:
            await prepared(session, wish)
            stored = await content(session)
    with new_broker(tmp_path / "another") as server:
        async with operator(server, store_url, tmp_path) as session:
            with pytest.raises(Rejected, match=r"run mine exists with other settings or inputs.*choose another --run-id"):
                await prepared(session, check_run(replace(wish.settings, seed=2), "mine"))
            assert await content(session) == stored
            assert await session.runs.all() == []


async def test_a_broker_whose_run_lies_in_another_store_is_told_apart(wish: CheckedRun, tmp_path: Path) -> None:
    with new_broker(tmp_path / "nats") as server:
        async with operator(server, f"file://{tmp_path}/one", tmp_path) as session:
            await prepared(session, wish)
        async with operator(server, f"file://{tmp_path}/two", tmp_path) as session:
            with pytest.raises(Rejected, match="the broker knows run mine, but its objects are not in this store"):
                await prepared(session, wish)
            assert await content(session) == {}
