"""Follows a run to its end, drawing it live on a terminal and as plain lines elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from services.cli.live_view import LiveView, training_line
from services.cli.progress import RunProgress
from services.cli.session import Session
from shared import events as e
from shared.cancellation import end
from shared.errors import Retryable
from shared.history import follow
from shared.presence import present
from shared.run_spec import RunSpec

REFRESH_S = 0.5
PLAIN_TRAINING_EVERY_S = 10.0


async def watch_run(session: Session, spec: RunSpec, console: Console, notices: list[str]) -> e.RunFinished:
    """Shows a run until it ends, and returns how it ended.

    Args:
        session: the stack.
        spec: the run.
        console: where to show it.
        notices: lines about the stack itself; whoever runs it appends to them.
    """
    progress = RunProgress(spec.run_id, spec.num_iterations)
    view = LiveView(progress, datetime.now(UTC), notices=notices)
    polling = asyncio.create_task(_poll(session, view))
    try:
        async with _shown(console, view):
            return await _follow(session, view, console)
    finally:
        await end([polling])


@asynccontextmanager
async def _shown(console: Console, view: LiveView) -> AsyncIterator[None]:
    if not console.is_terminal:
        yield
        return
    with Live(view, console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False):
        yield


async def _follow(session: Session, view: LiveView, console: Console) -> e.RunFinished:
    lines = _PlainLines(view.progress)
    async with aclosing(follow(session.bus, view.progress.run_id)) as events:
        async for _, event, at in events:
            line = lines.of(event, at)
            if line is not None and not console.is_terminal:
                console.print(f"{at.astimezone():%H:%M:%S} {line}", highlight=False, markup=False, soft_wrap=True)
            if isinstance(event, e.RunFinished):
                return event
    raise Retryable(f"the events of run {view.progress.run_id} ended early: the same command continues")


class _PlainLines:
    """Events as lines, with a training's figures every few seconds."""

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress
        self._last_training_s = 0.0

    def of(self, event: e.Event, at: datetime) -> str | None:
        line = self._progress.apply(event)
        if not isinstance(event, e.TrainingProgressed):
            return line
        if event.step < event.num_steps and at.timestamp() - self._last_training_s < PLAIN_TRAINING_EVERY_S:
            return None
        self._last_training_s = at.timestamp()
        return f"iteration {event.iteration}: training {training_line(self._progress.iterations[event.iteration])}"


async def _poll(session: Session, view: LiveView) -> None:
    while True:
        try:
            view.rooms = await present(session.bus)
            view.num_dead = await session.num_dead_letters()
        except Retryable:
            view.rooms = ()
        await asyncio.sleep(REFRESH_S)
