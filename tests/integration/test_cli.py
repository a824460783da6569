"""The console against a real broker, a real store and a real generator."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from services.cli.app import main
from services.cli.preparation import first_cause
from services.cli.record import read_records
from services.cli.session import Session, Target, open_session
from services.cli.target import embedded, readable
from shared import events as e
from shared.catalogue import Room
from shared.domain import EndReason, ModelVersion
from shared.publisher import publish_event
from shared.tables import AnswerRow, Probe, read_probes, write_answers
from tests.examples import run_spec
from tests.user_files import write_checkpoint, write_images, write_jsonl

ROOT = Path(__file__).parents[2]
SMALL = ("--core-per-cell", "2", "--fresh-per-cell", "1", "--exam-per-cell", "3", "--iterations", "1")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def spiral(*arguments: str) -> Ended:
    process = await start(*arguments)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def read_until(process: asyncio.subprocess.Process, words: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while words not in (line := (await process.stdout.readline()).decode()):
            assert line, f"ended before it said {words!r}"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    async with LocalStack(tmp_path / "state", rooms=("generators.rendered",)) as running:
        await running.ready()
        yield running


@pytest.fixture
async def session(stack: LocalStack, tmp_path: Path) -> AsyncIterator[Session]:
    async with open_session(Target(stack.info.bus_url, stack.info.store_url, tmp_path / "state")) as opened:
        yield opened


async def test_console_shows_rooms_generators_and_dead_letters(stack: LocalStack, session: Session, tmp_path: Path) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    status = (await spiral("status", "--json", *state)).json()
    assert status["schema"] == "spiral.status/1"
    (room,) = status["rooms"]
    (child,) = stack.info.rooms
    assert (room["pid"], room["health"], room["grpc_address"]) == (child.pid, "SERVING", child.address)
    assert [consumer["subject"] for consumer in status["consumers"]] == ["generation.requested"]

    generators = (await spiral("generators", "--json", *state)).json()
    (kind,) = generators["kinds"]
    assert (generators["schema"], kind["kind"], kind["state"], len(kind["cells"])) == ("spiral.generators/2", "rendered", "serving", 24)

    await session.bus.publish("generation.requested.rendered.nobody", b"\xff garbage", {"ce-id": "x", "Nats-Msg-Id": "x"})
    async with asyncio.timeout(20):
        while not await session.num_dead_letters():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.05)
    (letter,) = (await spiral("dead", "list", "--json", *state)).json()["dead_letters"]
    assert letter["room"] == "generators"
    (shown,) = (await spiral("dead", "show", str(letter["sequence"]), "--json", *state)).json()["dead_letters"]
    assert shown["event"] is None
    assert shown["reason"]
    assert letter["subject"] in (await spiral("dead", "list", *state)).out
    assert (await spiral("dead", "replay", str(letter["sequence"]), "--json", *state)).json()["replayed"] == [letter["sequence"]]
    again = await spiral("dead", "show", str(letter["sequence"]), *state)
    assert (again.code, "there is no dead letter" in again.err) == (1, True)


async def test_a_run_is_prepared_once_goes_on_after_an_interruption_and_ends_with_its_report(session: Session, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    command = ("run", "--model", str(checkpoint), "--state-dir", str(tmp_path / "state"), "--run-id", "mine", *SMALL)
    first = await start(*command)
    await read_until(first, "model mine/0 stands")
    first.send_signal(signal.SIGINT)
    _, err = await first.communicate()
    assert first.returncode == 130
    assert "The same command continues" in err.decode()

    spec = await session.runs.get("mine")
    probes = read_probes(await session.artifacts.read_bytes(spec.probes), "probes")
    exam = read_probes(await session.artifacts.read_bytes(spec.exam), "exam")
    assert {probe.split for probe in probes} == {"core", "fresh-0", "fresh-1"}
    assert {probe.split for probe in exam} == {"exam"}
    assert len({probe.probe_id for probe in [*probes, *exam]}) == len(probes) + len(exam) == 24 * (2 + 1 + 1 + 3)

    other = await spiral(*command, "--seed", "1")
    assert (other.code, "exists with other settings" in other.err) == (1, True)

    second = await start(*command)
    await read_until(second, "model mine/0 stands")
    assert await session.runs.get("mine") == spec
    await finish_run(session, exam)
    out, err = await asyncio.wait_for(second.communicate(), 60)
    assert second.returncode == 0, err.decode()
    assert "exam gain, champion over base: +" in out.decode()
    assert (tmp_path / "state" / "reports" / "mine" / "report.html").is_file()
    said = [record.event for record in await read_records(session, "mine")]
    assert sum(isinstance(event, e.ModelUpdated) and event.iteration == 0 for event in said) == 1

    report = (await spiral("report", "--json", "--state-dir", str(tmp_path / "state"))).json()
    assert (report["schema"], report["champion"]["model_id"]) == ("spiral.report/1", "mine/1")
    assert report["exams"][1]["macro"] - report["exams"][0]["macro"] == pytest.approx(report["comparison"]["gain"])
    runs = (await spiral("runs", "--json", "--state-dir", str(tmp_path / "state"))).json()["runs"]
    assert [(run["run_id"], run["state"]) for run in runs] == [("mine", "finished")]
    # The same command once more has nothing to do but to report.
    third = await spiral(*command, "--json")
    assert (third.code, third.json()["run"]["state"]) == (0, "finished")


async def finish_run(session: Session, exam: list[Probe]) -> None:
    """Says what the rooms would: model 1 is better in every second item."""
    spec = await session.runs.get("mine")
    causes = [first_cause(f"mine-{step}", spec.created_at_ns + step) for step in range(9)]
    models = [ModelVersion("mine/0", 0, spec.base_checkpoint), ModelVersion("mine/1", 1, spec.base_checkpoint, "mine/0")]
    said: list[tuple[Room, e.Event]] = []
    for model in models:
        right = [model.iteration == 1 and number % 2 == 0 for number in range(len(exam))]
        rows = [
            AnswerRow(probe.probe_id, "exam", probe.cell, 0, True, "x", "x", probe.answer, "correct" if good else "incorrect", None)
            for probe, good in zip(exam, right, strict=True)
        ]
        ref = await session.artifacts.put_bytes(write_answers(rows))
        if model.iteration:
            said.append((Room.TRAINER, e.ModelUpdated("mine", 1, model)))
        said.append((Room.EVALUATOR, e.EvaluationCompleted("mine", model.iteration, model, ref, ref, len(exam), len(exam), 0, 0, "t")))
        said.append((Room.PLANNER, e.ModelPromoted("mine", model.iteration, model, model, True, f"model {model.iteration} is best")))
    said.append((Room.PLANNER, e.RunFinished("mine", 1, EndReason.ITERATIONS_DONE, models[1], "done")))
    for cause, (room, event) in zip(causes, said, strict=False):
        await publish_event(session.bus, room, cause, event)
    assert all(before.stored_at_ns <= after.stored_at_ns for before, after in pairwise(await read_records(session, "mine")))


async def test_what_a_stopped_stack_left_behind_can_be_read(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path / "state", print, rooms=()),
        readable(tmp_path / "state", "", "") as target,
        open_session(target) as session,
    ):
        await session.runs.create(run_spec("kept"))
    runs = (await spiral("runs", "--json", "--state-dir", str(tmp_path / "state"))).json()["runs"]
    assert [(run["run_id"], run["state"]) for run in runs] == [("kept", "running")]
    report = (await spiral("report", "--json", "--state-dir", str(tmp_path / "state"))).json()
    assert (report["run"]["state"], report["champion"], report["exams"]) == ("running", None, [])


async def test_dry_run_on_a_users_own_files_starts_nothing(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    rows = write_images(tmp_path)
    path = write_jsonl(tmp_path / "probes.jsonl", rows)
    arguments = ("run", "--model", str(checkpoint), "--probes", str(path), "--state-dir", str(tmp_path / "state"), "--dry-run", "--json")
    cost = (await spiral(*arguments)).json()
    assert cost["schema"] == "spiral.dry-run/1"
    assert sum(cost["num_probes"].values()) == 12
    assert cost["probes_per_cell"]["geometric/numeric"]["exam"] == 5
    assert not (tmp_path / "state").exists()

    write_jsonl(path, [*rows[:4], {**rows[4], "answer": "many"}])
    refused = await spiral(*arguments)
    assert refused.code == 1
    assert "probes.jsonl, row 5, column 'answer'" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("status",), 2, "no stack is up"),
        (("status", "--bus-url", "nats://127.0.0.1:9"), 2, "--store-url"),
        (("status", "--bus-url", "http://127.0.0.1:9", "--store-url", "file:///tmp"), 2, "nats://host:port"),
        (("status", "--bus-url", "nats://127.0.0.1:9", "--store-url", "file:///tmp/spiral-none"), 1, "no NATS server answered"),
        (("run", "--model", "/nowhere"), 1, "is not a directory"),
        (("run", "--run-id", "Mine!", "--dry-run"), 2, "lower-case letters"),
        (("run", "--max-candidates", "0"), 2, "max_candidates is 0"),
        (("run", "--strategy", "fixed"), 2, "--fixed-weights"),
    ],
)
def test_a_wrong_word_gets_a_clear_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--state-dir", str(tmp_path / "state")])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (code, "")
    assert words in err
    assert "Traceback" not in err
