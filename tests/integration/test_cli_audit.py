"""`spiral audit` against a real broker, a real store, a real planner and a real terminal."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from services.cli.audit_drawing import Drawn
from services.cli.audit_words import AuditBook, read_words
from services.cli.record import read_records
from services.cli.session import Session, Target, open_session
from services.cli.target import embedded
from services.planner.audits import CellAudits
from services.planner.codec import from_json
from services.planner.service import BUCKET, audits_key
from services.quality.quarantine import write_quarantine
from services.quality.review import Doubted
from shared.domain import AuditVerdict, Candidate, Cell, ImageCategory, QuestionType
from shared.events import LabelAudited
from shared.run_spec import QualitySpec, RunSpec
from shared.tables import Sample, write_samples
from tests.examples import CAUSE, run_spec
from tests.rooms import eventually
from tests.terminal import ROOT, Terminal, in_terminal
from tests.unit.trainer.drawn import draw_samples

CELLS = (Cell(ImageCategory.CHART_GRAPH, QuestionType.NUMERIC), Cell(ImageCategory.MAP, QuestionType.TEXT))
SPEC: RunSpec = replace(run_spec("looked-at"), num_iterations=2, quality=QualitySpec(audit_per_cell=2))
SAMPLES = draw_samples(8, seed=4, cells=CELLS)
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen", "HOME": "/"}


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    async with LocalStack(tmp_path / "state", rooms=("planner",)) as running:
        await running.ready()
        yield running


@pytest.fixture
async def session(stack: LocalStack, tmp_path: Path) -> AsyncIterator[Session]:
    async with open_session(Target(stack.info.bus_url, stack.info.store_url, tmp_path / "state")) as opened:
        await opened.runs.create(SPEC)
        await seal(opened, SAMPLES)
        yield opened


async def seal(session: Session, samples: Sequence[Sample], iteration: int = 1) -> None:
    """A dataset as quality seals it."""
    blob = await session.artifacts.put_bytes(write_samples(samples))
    await session.artifacts.commit(f"runs/{SPEC.run_id}/{iteration}/dataset", {"samples.parquet": blob}, cause=CAUSE)


def audit(state: Path, *options: str, **environment: str) -> AbstractAsyncContextManager[Terminal]:
    command = ("services.cli", "audit", SPEC.run_id, "--auditor", "ann", "--state-dir", str(state), *options)
    return in_terminal(*command, environment=ENVIRONMENT | environment)


async def plainly(state: Path, *options: str) -> tuple[int, Any, str]:
    """The command without a terminal: exit code, JSON and what went to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "audit", SPEC.run_id, "--state-dir", str(state), "--auditor", "tool", *options),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, json.loads(out) if out.startswith(b"{") else None, err.decode()


async def words(session: Session) -> list[LabelAudited]:
    """The words that the stream holds, in their order."""
    return [record.event for record in await read_records(session, SPEC.run_id) if isinstance(record.event, LabelAudited)]


async def test_a_person_judges_samples_one_by_one_stops_and_goes_on(session: Session, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with audit(state, "--save", str(tmp_path / "images")) as terminal:
        await terminal.shows("1 of 4")
        await terminal.shows("q quit")
        assert "▀" in terminal.text
        assert "48;2;" in terminal.raw, "in colours"
        assert "of its width" not in terminal.text, "it is saved as it is"
        assert "label" in terminal.text
        assert "rendered" in terminal.text
        terminal.press("r")
        await terminal.shows("2 of 4")
        terminal.press("nsays 8, is 7x\x7f\r")
        await terminal.shows("note: says 8, is 7. Now r, w or u")
        terminal.press("w")
        await terminal.shows("3 of 4")
        terminal.press("b")
        await terminal.shows("said before: wrong (ann, says 8, is 7)")
        terminal.press("u")
        await terminal.shows("3 of 4", count=2)
        terminal.press("s")
        await terminal.shows("4 of 4")
        terminal.press("q")
        assert await terminal.exit_code() == 0
        assert "2 audited, 2 of 4 drawn samples not seen yet" in terminal.text.replace("\n", " ")
    assert len(list((tmp_path / "images").iterdir())) == 4

    said = await words(session)
    assert [(word.verdict, word.revision, word.detail) for word in said] == [
        (AuditVerdict.CORRECT, 1, ""),
        (AuditVerdict.WRONG, 1, "says 8, is 7"),
        (AuditVerdict.UNSURE, 2, ""),
    ]
    assert said[1].sample_id == said[2].sample_id
    assert {word.auditor for word in said} == {"ann"}

    async with audit(state) as terminal:
        await terminal.shows("1 of 2")
        assert "said before" not in terminal.text
        terminal.press("r")
        await terminal.shows("2 of 2")
        terminal.press("r")
        assert await terminal.exit_code() == 0
    async with audit(state) as terminal:
        assert await terminal.exit_code() == 0
        assert "r right" not in terminal.text, "nothing is left to be seen"
    async with audit(state, "--again", "--cell", str(CELLS[0])) as terminal:
        await terminal.shows("1 of 2")
        await terminal.shows("said before")
        terminal.press("\x03")
        assert await terminal.exit_code() == 130

    async def are_counted() -> bool:
        bucket = await session.bus.bucket(BUCKET)
        entries = [await bucket.get(audits_key(SPEC.run_id, cell)) for cell in CELLS]
        return sum(len(from_json(CellAudits, entry.value).words) for entry in entries if entry) == 4

    await eventually(are_counted)


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}]
)
async def test_terminal_that_shows_no_image_says_how_to_see_it(session: Session, tmp_path: Path, environment: dict[str, str]) -> None:
    async with audit(tmp_path / "state", **environment) as terminal:
        await terminal.shows("q quit")
        assert "save it by --save DIR" in terminal.text
        assert "▀" not in terminal.text
        terminal.press("r")
        await terminal.shows("2 of 4")
        terminal.press("q")
        assert await terminal.exit_code() == 0
        assert "1 audited" in terminal.text


async def test_verdicts_come_from_a_file_once_and_a_changed_one_is_a_new_word(session: Session, tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "verdicts.jsonl"

    def write(*verdicts: str) -> None:
        lines = [{"sample_id": sample.sample_id, "verdict": said} for sample, said in zip(SAMPLES, verdicts, strict=False)]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    write("right", "wrong", "unsure")
    code, found, err = await plainly(state, "--verdicts", str(file), "--json")
    assert code == 0, err
    assert (found["schema"], found["overall"]["num_audited"], found["overall"]["num_wrong"]) == ("spiral.audit/1", 3, 1)
    code, _, err = await plainly(state, "--verdicts", str(file), "--json")
    assert (code, len(await words(session))) == (0, 3), err
    write("right", "right")
    _, found, _ = await plainly(state, "--verdicts", str(file), "--json")
    assert (found["overall"]["num_correct"], found["overall"]["num_wrong"]) == (2, 0)
    assert [word.revision for word in await words(session)] == [1, 1, 1, 2]

    write("right", "perhaps")
    code, _, err = await plainly(state, "--verdicts", str(file))
    assert (code, "line 2" in err) == (2, True)
    code, _, err = await plainly(state)
    assert (code, "--verdicts FILE" in err) == (2, True)
    assert len(await words(session)) == 4


async def test_whoever_has_no_terminal_gets_images_questions_and_labels(session: Session, tmp_path: Path) -> None:
    code, found, err = await plainly(tmp_path / "state", "--json", "--save", str(tmp_path / "images"))
    assert code == 0, err
    by_id = {sample.sample_id: sample for sample in SAMPLES}
    kept = {str(path): path.read_bytes() for path in (tmp_path / "images").iterdir()}
    assert len(found["samples"]) == len(kept) == 4
    for told in found["samples"]:
        sample = by_id[told["sample_id"]]
        assert kept[told["image"]] == sample.image
        assert (told["question"], told["choices"], told["answer"]) == (sample.question, list(sample.choices), sample.answer)
    code, _, err = await plainly(tmp_path / "state", "--iteration", "2")
    assert code == 0, err
    (tmp_path / "occupied").write_text("")
    code, _, err = await plainly(tmp_path / "state", "--json", "--save", str(tmp_path / "occupied"))
    assert (code, "images can't be saved in" in err) == (2, True)


async def test_words_that_the_broker_lost_are_said_again_from_the_store(session: Session, tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "verdicts.jsonl"
    file.write_text("".join(json.dumps({"sample_id": sample.sample_id, "verdict": "wrong"}) + "\n" for sample in SAMPLES[:3]))
    await plainly(state, "--verdicts", str(file), "--json")
    before = await words(session)
    await session.bus.js.delete_stream("SPIRAL_CONTROL")
    await session.bus.declare_streams()
    assert await words(session) == []
    code, found, err = await plainly(state, "--json")
    assert (code, "3 word(s)" in err) == (0, True)
    assert found["overall"]["num_wrong"] == 3
    assert sorted(map(repr, await words(session))) == sorted(map(repr, before))
    _, _, err = await plainly(state, "--json")
    assert "said again" not in err
    assert len(await words(session)) == 3


async def test_two_auditors_who_know_nothing_of_each_other_lose_no_word(session: Session) -> None:
    ann, bob = (AuditBook(session, SPEC.run_id, name, ()) for name in ("ann", "bob"))
    drawn = Drawn(1, SAMPLES[0])
    assert (await ann.say(drawn, AuditVerdict.CORRECT, "")).revision == 1
    assert (await bob.say(drawn, AuditVerdict.CORRECT, "")).revision == 2
    assert (await ann.say(drawn, AuditVerdict.CORRECT, "")).revision == 1, "the same word again is no new one"
    assert (await ann.say(drawn, AuditVerdict.WRONG, "")).revision == 3
    assert [(word.auditor, word.revision) for word in await words(session)] == [("ann", 1), ("bob", 2), ("ann", 3)]
    (noted,) = await read_words(session.artifacts, SPEC)
    assert (noted.word.revision, noted.word.verdict) == (3, AuditVerdict.WRONG)


async def test_run_whose_stack_is_down_can_be_audited(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "verdicts.jsonl"
    async with (
        embedded(state, lambda text: None, rooms=()) as stack,
        open_session(Target(stack.info.bus_url, stack.info.store_url, state)) as opened,
    ):
        await opened.runs.create(SPEC)
        await seal(opened, SAMPLES)
        await seal(opened, draw_samples(4, seed=9, cells=CELLS), iteration=2)
    file.write_text(json.dumps({"sample_id": SAMPLES[0].sample_id, "verdict": "right"}))
    code, found, err = await plainly(state, "--verdicts", str(file), "--json")
    assert code == 0, err
    assert [(sample["iteration"]) for sample in found["samples"]] == [1, 1, 1, 1, 2, 2, 2, 2]
    code, found, _ = await plainly(state, "--iteration", "2", "--per-cell", "1", "--json")
    assert (len(found["samples"]), found["overall"]["num_correct"]) == (2, 1)


def doubted(sample: Sample, *answers: tuple[str, str]) -> Doubted:
    names = {field.name for field in fields(Candidate)} - {"candidate_id"}
    return Doubted(Candidate(sample.sample_id, **{name: getattr(sample, name) for name in names}), answers)


async def test_what_was_quarantined_is_listed_shown_and_saved(session: Session, tmp_path: Path) -> None:
    by_cell = {sample.cell: sample for sample in SAMPLES}
    for cell in CELLS:
        file = await session.artifacts.put_bytes(write_quarantine([doubted(by_cell[cell], ("a-vl", "9"), ("b-vl", "[red]9[/red]\x1b[2J"))]))
        await session.artifacts.commit(f"runs/{SPEC.run_id}/1/reviews/lease-{cell.category}", {"quarantine.parquet": file}, cause=CAUSE)
    await session.artifacts.commit(f"runs/{SPEC.run_id}/1/reviews/lease-of-none", {}, cause=CAUSE)
    code, found, err = await plainly(tmp_path / "state", "--quarantine", "--json")
    assert code == 0, err
    assert found["schema"] == "spiral.quarantine/1"
    assert [candidate["lease_id"] for candidate in found["candidates"]] == ["lease-chart_graph", "lease-map"]
    assert found["candidates"][0]["answers"][0] == {"by": "a-vl", "answered": "9"}
    async with audit(tmp_path / "state", "--quarantine", "--cell", str(CELLS[1]), "--save", str(tmp_path / "images")) as terminal:
        await terminal.shows("1 quarantined candidate(s)")
        assert await terminal.exit_code() == 0
        assert "[red]9[/red]�[2J (b-vl)" in terminal.text
        assert "▀" in terminal.text
    (image,) = (tmp_path / "images").iterdir()
    assert image.read_bytes() == by_cell[CELLS[1]].image
