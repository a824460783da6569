"""`spiral runs`: what was asked for so far."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.session import Session
from shared.errors import NotFound
from shared.run_spec import RunSpec

SCHEMA = "spiral.runs/1"

Found = Sequence[tuple[RunSpec, str]]


async def latest_run(session: Session) -> RunSpec:
    """The run that was asked for last.

    Raises:
        NotFound: there is none.
    """
    specs = await session.runs.all()
    if not specs:
        raise NotFound("no run was asked for yet: start one with `spiral run`")
    return specs[-1]


async def read_runs(session: Session) -> Found:
    """Every run, oldest first, with "running" or "finished"."""
    unfinished = {spec.run_id for spec in await session.runs.unfinished()}
    return [(spec, "running" if spec.run_id in unfinished else "finished") for spec in await session.runs.all()]


def runs_json(found: Found) -> dict[str, Any]:
    """Runs as JSON values."""
    rows = [
        {
            "run_id": spec.run_id,
            "state": state,
            "created_at_ns": spec.created_at_ns,
            "seed": spec.seed,
            "num_iterations": spec.num_iterations,
            "strategy": spec.planning.strategy.value,
        }
        for spec, state in found
    ]
    return {"schema": SCHEMA, "runs": rows}


def render_runs(found: Found) -> RenderableType:
    """Runs as a table."""
    if not found:
        return Text("no runs yet: `spiral run` starts one")
    table = Table(box=None, pad_edge=False)
    for name in ("run", "state", "begun", "iterations", "strategy", "seed"):
        table.add_column(name)
    for spec, state in found:
        begun = datetime.fromtimestamp(spec.created_at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC")
        table.add_row(spec.run_id, state, begun, str(spec.num_iterations), spec.planning.strategy.value, str(spec.seed))
    return table
