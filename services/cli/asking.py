"""Asking a stack a question from a command, and showing the answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import RenderableType

from services.cli.console import open_console
from services.cli.run_command import steadily, until_signal
from services.cli.session import Session, Target, open_session
from services.cli.target import readable, running_target

T = TypeVar("T")


def ask(state_dir: Path, bus_url: str, store_url: str, question: Callable[[Session], Awaitable[T]]) -> T:
    """Asks the stack that is up.

    Raises:
        BadConfiguration: none is up.
    """
    target = running_target(state_dir, bus_url, store_url)

    async def asking() -> T:
        async with open_session(target) as session:
            return await question(session)

    return asyncio.run(asking())


def look_up(state_dir: Path, bus_url: str, store_url: str, question: Callable[[Session], Awaitable[T]]) -> T:
    """Asks about the past: of the stack that is up, or of what one left behind."""
    where = state_dir.expanduser().resolve()

    async def ask(target: Target) -> T:
        async with open_session(target) as session:
            return await question(session)

    async def asking() -> T:
        async with readable(where, bus_url, store_url) as target:
            return await steadily(ask(target))

    return asyncio.run(until_signal(asking()))


def show(as_json: bool, values: Callable[[], dict[str, Any]], picture: Callable[[], RenderableType]) -> None:
    """Prints an answer, as JSON or for people."""
    if as_json:
        typer.echo(json.dumps(values(), indent=1, allow_nan=False))
    else:
        open_console().print(picture())
