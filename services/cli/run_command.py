"""`spiral run`: starts a stack unless one is up, prepares the run, follows it, and ends with the report."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rich.console import Console

from services.cli.preparation import CheckedRun, prepare_run, standing_run
from services.cli.probe_sets import draw_probes
from services.cli.record import read_report
from services.cli.report_model import Report
from services.cli.session import Session, Target, open_session
from services.cli.target import embedded, keeps_state, readable
from services.cli.watching import watch_run
from shared.cancellation import end
from shared.domain import GeneratorRegistration
from shared.errors import Retryable
from shared.tables import Probe

T = TypeVar("T")

GENERATOR_PATIENCE_S = 30.0


class Interrupted(Exception):
    """The operator asked to stop. What was stored stands; the same command continues."""


async def run(checked: CheckedRun, target: Target | None, *, own: Target, console: Console) -> Report:
    """Runs to the end and returns the report.

    Args:
        checked: the request.
        target: the stack that is up, or None to start one and stop it at the end.
        own: where a stack of our own keeps its state; its addresses are not read.
        console: where progress is shown.

    Raises:
        Interrupted: SIGINT or SIGTERM came; a stack of our own was stopped.
        ChildFailed: a process of our own stack keeps dying.
        Retryable: broker, store or generator stay away.
        Rejected: the run exists with other settings, or what it stored is damaged.
    """
    notices: list[str] = []

    def notice(text: str) -> None:
        notices.append(text)
        if not console.is_terminal:
            say(console, text)

    if target is not None:
        return await until_signal(steadily(_run_on(target, checked, console, notices)))
    return await until_signal(_run_on_own(own, checked, console, notices, notice))


async def until_signal(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns.

    Raises:
        Interrupted: SIGINT or SIGTERM came first; the work was cancelled and has cleaned up.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    working, is_stopped = asyncio.create_task(work), False
    try:
        while True:
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if working.done():
                break
            # Each further signal interrupts what the former left to be cleaned up.
            stop.clear()
            is_stopped = True
            working.cancel()
        if is_stopped:
            await asyncio.gather(working, return_exceptions=True)
            raise Interrupted
        return working.result()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def steadily(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; ends when it is cancelled, also where the broker's client forgets a cancellation."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
        return task.result()
    finally:
        await end([task])


def say(console: Console, text: str) -> None:
    """A plain line."""
    console.print(text, style="dim" if console.is_terminal else None, highlight=False, markup=False, soft_wrap=True)


async def living_generators(session: Session, *, patience_s: float = GENERATOR_PATIENCE_S) -> list[GeneratorRegistration]:
    """The generators that live and draw probes, once at least one has announced itself.

    Raises:
        Retryable: none did in time.
    """
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        entries = [entry for entry in await session.generators.living() if entry.draws_probes and not entry.is_draining]
        if entries:
            return entries
        if asyncio.get_running_loop().time() > deadline:
            raise Retryable(
                f"no generator that draws probes announced itself within {patience_s:.0f} s: see its log, or bring your own probes with "
                "--probes FILE"
            )
        await asyncio.sleep(0.2)


async def _run_on_own(own: Target, checked: CheckedRun, console: Console, notices: list[str], notice: Callable[[str], None]) -> Report:
    standing = await _finished_report(own, checked)
    if standing is not None:
        say(console, f"run {checked.run_id} is finished; nothing is left to do")
        return standing
    say(console, f"starting the stack in {own.state_dir}")
    async with embedded(own.state_dir, notice) as stack:
        target = Target(stack.info.bus_url, stack.info.store_url, own.state_dir)
        running = asyncio.create_task(_run_on(target, checked, console, notices))
        failing = asyncio.create_task(stack.wait())
        try:
            await asyncio.wait({running, failing}, return_when=asyncio.FIRST_COMPLETED)
            if failing.done() and not running.done():
                failing.result()
            return await running
        finally:
            await end([running, failing])
            say(console, "stopping the stack")


async def _finished_report(own: Target, checked: CheckedRun) -> Report | None:
    """The report of a run that ended already; the broker alone is started to see it."""
    if not keeps_state(own.state_dir):
        return None

    async def look(target: Target) -> Report | None:
        async with open_session(target) as session:
            spec = await standing_run(session, checked)
            if spec is None or spec.run_id in {unfinished.run_id for unfinished in await session.runs.unfinished()}:
                return None
            return await read_report(session, spec)

    async with readable(own.state_dir, "", "") as target:
        return await steadily(look(target))


async def _run_on(target: Target, checked: CheckedRun, console: Console, notices: list[str]) -> Report:
    async with open_session(target) as session:
        others = [spec.run_id for spec in await session.runs.unfinished() if spec.run_id != checked.run_id]
        if others:
            notices.append(f"unfinished run(s) {', '.join(others)} share this stack and go on too; another --state-dir keeps them apart")
            say(console, notices[-1])

        async def draw() -> Sequence[Probe]:
            settings = checked.settings
            return await draw_probes(
                await living_generators(session),
                seed=settings.seed,
                num_iterations=settings.num_iterations,
                counts=settings.counts,
                image_size_px=settings.planning.image_size_px,
                report=lambda done, total: None,
            )

        spec = await prepare_run(session, checked, draw, lambda text: say(console, text))
        say(console, f"run {spec.run_id}: {spec.num_iterations} iterations, seed {spec.seed}")
        await watch_run(session, spec, console, notices)
        return await read_report(session, spec)
