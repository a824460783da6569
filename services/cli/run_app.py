"""The options of `spiral run`, and its dry run."""

import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.console import open_console
from services.cli.estimate import Cost, estimate, probe_counts
from services.cli.models_check import CheckedModels, ModelsCheck, check_models, models_lines
from services.cli.options import DEFAULT_STATE_DIR, BusUrl, Json, StateDir, StoreUrl
from services.cli.overrides import apply_overrides
from services.cli.plain import plain
from services.cli.preparation import CheckedRun, check_run
from services.cli.probe_sets import expected_counts
from services.cli.report_files import write_report
from services.cli.report_model import to_json
from services.cli.report_terminal import print_report
from services.cli.run_command import living_generators, say, until_signal
from services.cli.run_command import run as run_to_the_end
from services.cli.run_settings import MAX_ITERATIONS, ProbeCounts, RunSettings, check_sections, read_fixed_weights
from services.cli.session import Target, open_session
from services.cli.target import embedded, standing_target
from services.cli.words import dollars
from shared.domain import Cell, Strategy
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, SpendingSpec, TrainingSpec

SHIPPED_MODEL = Path(__file__).parents[2] / "deploy" / "local" / "base_model" / "checkpoint"
DRY_RUN_SCHEMA = "spiral.dry-run/1"
DEFAULTS = PlanningSpec()


def run(
    model: Annotated[Path, typer.Option(help="A checkpoint directory in Hugging Face layout.")] = SHIPPED_MODEL,
    probes: Annotated[Path | None, typer.Option(help="Your probes, Parquet or JSONL; drawn by the generators where left out.")] = None,
    run_id: Annotated[str | None, typer.Option(help="Derived from all settings and inputs where left out.")] = None,
    iterations: Annotated[int, typer.Option(min=1, max=MAX_ITERATIONS, help="Training rounds.")] = 3,
    samples: Annotated[int, typer.Option(help="Accepted samples per iteration.")] = DEFAULTS.num_samples,
    max_candidates: Annotated[
        int, typer.Option(help="The budget: candidates that may be asked for per iteration.")
    ] = DEFAULTS.max_candidates,
    strategy: Annotated[Strategy, typer.Option(help="How a diagnosis becomes a mixture.")] = DEFAULTS.strategy,
    fixed_weights: Annotated[Path | None, typer.Option(help='JSON for --strategy fixed: {"chart_graph/numeric": 2.0}.')] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Everything random derives from it.")] = 0,
    core_per_cell: Annotated[int, typer.Option(min=1, help="Drawn probes per cell for trend and promotion.")] = 40,
    fresh_per_cell: Annotated[int, typer.Option(min=0, help="Drawn probes per cell and iteration for diagnosis.")] = 20,
    exam_per_cell: Annotated[int, typer.Option(min=1, help="Drawn exam items per cell, for the report only.")] = 60,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Any field of the run's settings.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and say what it would cost; start nothing.")] = False,
    as_json: Json = False,
    check: CheckedModels = None,
) -> None:
    """Turn the spiral: diagnose, plan, generate, check, train, test again. Interrupted, the same command continues."""
    planning = PlanningSpec(
        strategy=strategy,
        num_samples=samples,
        max_candidates=max_candidates,
        fixed_weights=read_fixed_weights(fixed_weights) if fixed_weights else (),
    )
    sections: dict[str, Any] = {
        "evaluation": EvaluationSpec(),
        "planning": planning,
        "quality": QualitySpec(),
        "training": TrainingSpec(),
        "spending": SpendingSpec(),
    }
    sections = apply_overrides(sections, overrides or [])
    check_sections(sections)
    settings = RunSettings(model, probes, seed, iterations, ProbeCounts(core_per_cell, fresh_per_cell, exam_per_cell), **sections)
    checked = check_run(settings, run_id)
    models = check_models(check)
    target = standing_target(state_dir, bus_url, store_url)
    console = open_console(stderr=as_json)
    if dry_run:
        cost = asyncio.run(until_signal(_cost(checked, target)))
        _show_cost(checked, cost, models, as_json)
        return
    report = asyncio.run(run_to_the_end(checked, target, own=Target("", "", state_dir.expanduser().resolve()), console=console))
    page = write_report(report, state_dir)
    if as_json:
        typer.echo(json.dumps(to_json(report), indent=1, allow_nan=False))
    else:
        print_report(console, report)
    say(console, f"report: {page}")


async def _cost(checked: CheckedRun, target: Target | None) -> Cost:
    """The cost; cells of drawn probes are asked of the stack that is up, or of a generator started for the question."""
    settings = checked.settings
    if checked.probes:
        counts = probe_counts(checked.probes)
    else:
        counts = expected_counts(await _served(target), settings.counts, settings.num_iterations)
    return estimate(
        counts,
        num_iterations=settings.num_iterations,
        evaluation=settings.evaluation,
        planning=settings.planning,
        quality=settings.quality,
        training=settings.training,
        num_weight_bytes=checked.num_weight_bytes,
    )


async def _served(target: Target | None) -> list[Cell]:
    if target is None:
        with tempfile.TemporaryDirectory(prefix="spiral-dry-run-") as scratch:
            async with embedded(Path(scratch), lambda text: None, rooms=("generators.rendered",)) as stack:
                return await _served(Target(stack.info.bus_url, stack.info.store_url, Path(scratch)))
    async with open_session(target) as session:
        return sorted({cell for entry in await living_generators(session) for cell in entry.cells})


def _show_cost(checked: CheckedRun, cost: Cost, models: ModelsCheck | None, as_json: bool) -> None:
    settings = checked.settings
    if as_json:
        values: dict[str, Any] = {"schema": DRY_RUN_SCHEMA, "run_id": checked.run_id, "model_type": checked.model_type, **asdict(cost)}
        values["spending"] = plain(settings.spending)
        values["models"] = asdict(models) if models else None
        typer.echo(json.dumps(values, indent=1))
        return
    console, spending = open_console(), settings.spending
    table = Table(title="Probes per cell", title_justify="left", box=None, pad_edge=False)
    splits = list(cost.num_probes)
    table.add_column("cell")
    for split in splits:
        table.add_column(split, justify="right")
    for cell, by_split in cost.probes_per_cell.items():
        table.add_row(cell, *(str(by_split.get(split, 0)) for split in splits))
    table.add_section()
    table.add_row("all", *(f"{cost.num_probes[split]:,}" for split in splits), style="bold")
    console.print(f"{settings.model} is a {checked.model_type} checkpoint of {checked.num_weight_bytes / 1e6:.1f} MB", highlight=False)
    console.print(table)
    for line in (
        f"{cost.num_evaluations} evaluations, {cost.num_answers:,} answers in all",
        f"{cost.num_samples:,} accepted samples wanted, out of at most {cost.max_candidates:,} candidates",
        f"at most {spending.max_calls:,} calls, {spending.max_tokens:,} tokens and {dollars(spending.max_cost_usd)} for language models",
        *models_lines(models),
        f"about {max(1, round(cost.minutes))} min on two cores without an accelerator",
        f"run id {checked.run_id}; nothing was started",
    ):
        console.print(line, highlight=False, markup=False)
