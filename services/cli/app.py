"""`spiral`: the operator's commands."""

import io
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from deploy.local.stack import load_stack
from services.cli import audit_app, dead, run_app, status
from services.cli.asking import ask, look_up, show
from services.cli.benchmark import benchmark_app
from services.cli.console import open_console
from services.cli.generators import generators_app
from services.cli.options import DEFAULT_STATE_DIR, BusUrl, Json, StateDir, StoreUrl
from services.cli.pool import pool_app
from services.cli.record import read_report
from services.cli.report_files import write_report
from services.cli.report_model import to_json
from services.cli.report_terminal import print_report
from services.cli.run_command import Interrupted
from services.cli.runs import latest_run, read_runs, render_runs, runs_json
from services.cli.session import Session
from services.cli.up import up
from shared.dead_letters import list_dead, replay_dead, show_dead
from shared.errors import BadConfiguration, SpiralError
from shared.telemetry import configure_logs

HELP = "Diagnose a multimodal model, make practice, check it, train, test again."
app = typer.Typer(name="spiral", help=HELP, no_args_is_help=True, add_completion=False)
dead_app = typer.Typer(help="Events that no room could handle.", no_args_is_help=True)
app.add_typer(dead_app, name="dead")
app.add_typer(generators_app, name="generators")
app.add_typer(pool_app, name="pool")
app.add_typer(benchmark_app, name="benchmark")
app.command("run")(run_app.run)
app.command("audit")(audit_app.audit)
app.command("up")(up)

INTERRUPTED, FAILED, MISCONFIGURED = 130, 1, 2


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command line, by default this process's; exits 0, 1 on a failure, 2 on a wrong option or setting, 130 interrupted."""
    configure_logs("cli", "cli", level="error", is_json=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal of another encoding than UTF-8 shows question marks; it ends no command.
            stream.reconfigure(errors="replace")
    try:
        app(args=arguments, standalone_mode=True)
    except BadConfiguration as error:
        _fail(error, MISCONFIGURED)
    except SpiralError as error:
        _fail(error, FAILED)
    except Interrupted:
        command = shlex.join(["spiral", *(sys.argv[1:] if arguments is None else arguments)])
        text = f"Stopped; what was done stands. The same command continues:\n  {command}"
        open_console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
    raise SystemExit(0)


def _fail(error: SpiralError, code: int) -> NoReturn:
    open_console(stderr=True).print(f"spiral: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(code) from None


@app.command("status")
def status_command(state_dir: StateDir = DEFAULT_STATE_DIR, bus_url: BusUrl = "", store_url: StoreUrl = "", as_json: Json = False) -> None:
    """Rooms with pid, version, health and lag, and how far the runs are."""
    stack = None if bus_url else load_stack(state_dir)
    found = ask(state_dir, bus_url, store_url, lambda session: status.read_status(session, stack))
    show(as_json, lambda: status.status_json(found), lambda: status.render_status(found))


@app.command("report")
def report_command(
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id; the latest run where left out.")] = "",
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
    as_json: Json = False,
) -> None:
    """A run's report, also of one that still goes on: terminal table, HTML and JSON."""

    async def read(session: Session) -> Any:
        spec = await session.runs.get(run_id) if run_id else await latest_run(session)
        return await read_report(session, spec)

    report = look_up(state_dir, bus_url, store_url, read)
    page = write_report(report, state_dir)
    if as_json:
        typer.echo(json.dumps(to_json(report), indent=1, allow_nan=False))
    else:
        console = open_console()
        print_report(console, report)
        console.print(f"report: {page}", highlight=False, soft_wrap=True)


@app.command("runs")
def runs_command(state_dir: StateDir = DEFAULT_STATE_DIR, bus_url: BusUrl = "", store_url: StoreUrl = "", as_json: Json = False) -> None:
    """All runs of the stack."""
    found = look_up(state_dir, bus_url, store_url, read_runs)
    show(as_json, lambda: runs_json(found), lambda: render_runs(found))


@dead_app.command("list")
def dead_list(state_dir: StateDir = DEFAULT_STATE_DIR, bus_url: BusUrl = "", store_url: StoreUrl = "", as_json: Json = False) -> None:
    """All dead letters, oldest first."""
    letters = look_up(state_dir, bus_url, store_url, lambda session: list_dead(session.bus))
    show(as_json, lambda: dead.dead_json(letters), lambda: dead.render_dead(letters))


@dead_app.command("show")
def deadshow(
    number: int, state_dir: StateDir = DEFAULT_STATE_DIR, bus_url: BusUrl = "", store_url: StoreUrl = "", as_json: Json = False
) -> None:
    """One dead letter with its event, reason and traceback."""
    letter = look_up(state_dir, bus_url, store_url, lambda session: show_dead(session.bus, number))
    show(as_json, lambda: dead.dead_json([letter], with_event=True), lambda: dead.render_dead_letter(letter))


@dead_app.command("replay")
def dead_replay(
    number: Annotated[int, typer.Argument(help="Its number in `spiral dead list`; 0 replays all.")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
    as_json: Json = False,
) -> None:
    """Sends a dead letter to its room again, once what killed it is mended."""

    async def replay(session: Session) -> list[int]:
        numbers = [number] if number else [letter.sequence for letter in await list_dead(session.bus)]
        for each in numbers:
            await replay_dead(session.bus, each)
        return numbers

    numbers = look_up(state_dir, bus_url, store_url, replay)
    if as_json:
        typer.echo(json.dumps({"schema": dead.SCHEMA, "replayed": numbers}))
    else:
        typer.echo(f"replayed {len(numbers)} dead letter(s)")
