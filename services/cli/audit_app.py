"""`spiral audit`: people look at accepted samples and say whether their labels are right."""

import getpass
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.cli.asking import look_up
from services.cli.audit_drawing import Drawn, dataset_samples, draw_from_datasets
from services.cli.audit_file import read_verdicts
from services.cli.audit_quarantine import quarantine_json, read_quarantine, show_quarantine
from services.cli.audit_screen import Screen, keep_image
from services.cli.audit_views import audit_json, render_audit
from services.cli.audit_words import AuditBook, read_words, say_again
from services.cli.console import open_console
from services.cli.keyboard import open_keyboard
from services.cli.options import DEFAULT_STATE_DIR, BusUrl, Json, StateDir, StoreUrl
from services.cli.runs import latest_run
from services.cli.session import Session
from shared.domain import Cell, ImageCategory, QuestionType
from shared.errors import BadConfiguration
from shared.run_spec import RunSpec


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options ask for. `per_cell` is None where the run's specification decides."""

    run_id: str
    cells: tuple[Cell, ...]
    iterations: tuple[int, ...]
    per_cell: int | None
    auditor: str
    is_again: bool
    folder: Path | None
    verdicts: Path | None
    is_quarantine: bool
    as_json: bool


def audit(
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id; the latest run where left out.")] = "",
    cell: Annotated[list[str] | None, typer.Option(metavar="CATEGORY/QUESTION_TYPE", help="Only this cell; may be repeated.")] = None,
    iteration: Annotated[list[int] | None, typer.Option(min=1, help="Only this iteration's dataset; may be repeated.")] = None,
    per_cell: Annotated[
        int | None, typer.Option(min=0, help="Samples of each cell and iteration; the run's quality.audit_per_cell where left out.")
    ] = None,
    auditor: Annotated[str, typer.Option(help="Who looks; your user name where left out.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Show what was audited already, too.")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save each image as a file there, and say which; also with --json.")
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(metavar="FILE", help='JSONL instead of the keyboard: {"sample_id": ..., "verdict": "right", "note": ""}.')
    ] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Only show what was quarantined: labels that every blind solver contradicts.")
    ] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
    as_json: Json = False,
) -> None:
    """Look at accepted samples, drawn at random, and say whether their labels are right. Cells whose labels are not are held back."""
    wish = Wish(
        run_id=run_id,
        cells=tuple(map(_cell, cell or ())),
        iterations=tuple(iteration or ()),
        per_cell=per_cell,
        auditor=auditor or _user_name(),
        is_again=again,
        folder=save,
        verdicts=verdicts,
        is_quarantine=quarantine,
        as_json=as_json,
    )
    look_up(state_dir, bus_url, store_url, lambda session: _audit(session, wish))


async def _audit(session: Session, wish: Wish) -> None:
    spec = await session.runs.get(wish.run_id) if wish.run_id else await latest_run(session)
    if wish.is_quarantine:
        await _show_quarantine(session, spec, wish)
        return
    standing = await read_words(session.artifacts, spec)
    num_unsaid = await say_again(session, spec.run_id, standing)
    console = open_console(stderr=wish.as_json)
    if num_unsaid:
        console.print(f"{num_unsaid} word(s) stood in the store and not in the broker: said again", style="dim", highlight=False)
    book = AuditBook(session, spec.run_id, wish.auditor, standing)
    per_cell = spec.quality.audit_per_cell if wish.per_cell is None else wish.per_cell
    drawn = await draw_from_datasets(session.artifacts, spec, per_cell=per_cell, iterations=wish.iterations, cells=wish.cells)
    if wish.verdicts is not None:
        await _take_from_file(session, spec, wish.verdicts, book)
    elif not wish.as_json:
        await _take_from_keyboard(drawn, wish, book)
    if wish.as_json:
        typer.echo(json.dumps(audit_json(spec, per_cell, drawn, book.last, _kept_images(drawn, wish)), indent=1, allow_nan=False))
    else:
        console.print()
        console.print(render_audit(spec, drawn, book.last))


async def _show_quarantine(session: Session, spec: RunSpec, wish: Wish) -> None:
    found = await read_quarantine(session.artifacts, spec, iterations=wish.iterations, cells=wish.cells)
    if wish.as_json:
        typer.echo(json.dumps(quarantine_json(spec, found), indent=1))
    if not wish.as_json or wish.folder is not None:
        show_quarantine(open_console(stderr=wish.as_json), spec, found, wish.folder)


async def _take_from_keyboard(drawn: Sequence[Drawn], wish: Wish, book: AuditBook) -> None:
    waiting = [each for each in drawn if wish.is_again or each.sample.sample_id not in book.last]
    if not waiting:
        return
    with open_keyboard(sys.stdin.fileno()) as keyboard:
        await Screen(open_console(), keyboard, wish.folder).audit(waiting, book)


def _kept_images(drawn: Sequence[Drawn], wish: Wish) -> dict[str, Path]:
    if wish.folder is None:
        return {}
    return {each.sample.sample_id: keep_image(each.sample.image, each.sample.sample_id, wish.folder) for each in drawn}


async def _take_from_file(session: Session, spec: RunSpec, path: Path, book: AuditBook) -> None:
    known: dict[str, Drawn] = {}
    for iteration in range(1, spec.num_iterations + 1):
        for sample in await dataset_samples(session.artifacts, spec.run_id, iteration):
            known.setdefault(sample.sample_id, Drawn(iteration, sample))
    for filed in read_verdicts(path, known):
        await book.say(filed.drawn, filed.verdict, filed.note)


def _cell(text: str) -> Cell:
    try:
        category, kind = text.split("/")
        return Cell(ImageCategory(category), QuestionType(kind))
    except ValueError as error:
        raise BadConfiguration(f"--cell {text}: write CATEGORY/QUESTION_TYPE, as in chart_graph/numeric ({error})") from error


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise BadConfiguration("who you are can't be told from this account: say it by --auditor NAME") from error
