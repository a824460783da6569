"""`spiral benchmark`: sets of questions that nothing may be trained on, beside the probes and the exam of each run."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.asking import show
from services.cli.benchmark_registry import Benchmark, add_benchmark, benchmarks, remove_benchmark
from services.cli.console import open_console
from services.cli.options import DEFAULT_STATE_DIR, Json, StateDir, StoreUrl
from services.cli.run_command import say, until_signal
from services.cli.words import on_screen, size
from shared.artifacts import Artifacts
from shared.catalogue import Room
from shared.errors import BadConfiguration
from shared.store import open_store_url

SCHEMA = "spiral.benchmarks/1"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_SAY_EVERY = 1000

T = TypeVar("T")
benchmark_app = typer.Typer(help="Benchmarks that nothing may be trained on.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")]


@benchmark_app.command("add")
def add_command(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet or JSONL: image, question, choices, answer; one of the first two.")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
    store_url: StoreUrl = "",
    as_json: Json = False,
) -> None:
    """Register a benchmark; from the next lease on its copies are refused. The same command goes on where a former one was stopped."""
    if not _NAME.fullmatch(name):
        raise BadConfiguration(f"{name!r} is no name for a benchmark: use lower-case letters, digits and hyphens, at most 64")
    console = open_console(stderr=True)

    def told(num_items: int) -> None:
        if num_items % _SAY_EVERY < 256:
            say(console, f"{num_items:,} items stored")

    async def add(artifacts: Artifacts) -> Benchmark:
        added, is_new = await add_benchmark(artifacts, name, file, told)
        # A benchmark in another store than that of the runs protects nothing, so where it stands is said.
        say(console, f"benchmark {name} {'is registered' if is_new else 'was registered already'} in {_told(state_dir, store_url)}")
        return added

    added = _in_store(state_dir, store_url, add)
    show(as_json, lambda: _json([added]), lambda: _picture([added], _told(state_dir, store_url)))


@benchmark_app.command("list")
def list_command(state_dir: StateDir = DEFAULT_STATE_DIR, store_url: StoreUrl = "", as_json: Json = False) -> None:
    """All registered benchmarks."""
    found = _in_store(state_dir, store_url, benchmarks)
    show(as_json, lambda: _json(found), lambda: _picture(found, _told(state_dir, store_url)))


@benchmark_app.command("remove")
def remove_command(name: Name, state_dir: StateDir = DEFAULT_STATE_DIR, store_url: StoreUrl = "") -> None:
    """Take a benchmark out of the registry."""
    _in_store(state_dir, store_url, lambda artifacts: remove_benchmark(artifacts, name))
    say(open_console(stderr=True), f"benchmark {name} is no longer registered")


def _in_store(state_dir: Path, store_url: str, work: Callable[[Artifacts], Awaitable[T]]) -> T:
    """Works in the store that is named, else in that of the state directory, whether or not a stack is up there."""
    cache = state_dir.expanduser().resolve() / "work" / "cli" / "cache"

    async def working() -> T:
        async with open_store_url(_store(state_dir, store_url)) as store:
            return await work(Artifacts(store, cache_dir=cache, producer=Room.CLI.value))

    return asyncio.run(until_signal(working()))


def _store(state_dir: Path, store_url: str) -> str:
    return store_url or (state_dir.expanduser().resolve() / "objects").as_uri()


def _told(state_dir: Path, store_url: str) -> str:
    """The store's address as one may print it: without the key and secret that may stand in it."""
    parts = urlsplit(_store(state_dir, store_url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _json(found: Sequence[Benchmark]) -> dict[str, Any]:
    return {"schema": SCHEMA, "benchmarks": [asdict(each) for each in found]}


def _picture(found: Sequence[Benchmark], store: str) -> RenderableType:
    if not found:
        return Text(f"no benchmark is registered in {store}: spiral benchmark add NAME FILE")
    table = Table("benchmark", "items", "images", "questions", "size", "from", box=None, pad_edge=False)
    for each in found:
        counts = (f"{number:,}" for number in (each.num_items, each.num_images, each.num_questions))
        table.add_row(each.name, *counts, size(each.num_bytes), Text(on_screen(each.source)))
    return table
