"""How far an add is: a bar on a terminal, a line every few seconds elsewhere."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from services.cli.pool_add import Tally
from services.cli.run_command import say
from services.cli.words import duration
from shared.cancellation import end

LOOK_EVERY_S = 0.5
SAY_EVERY_S = 5.0
_WINDOW_S = 20.0


class Pace:
    """The rate of the last seconds, which skipping what is known and decoding what is new make very different."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, num_done: int, at_s: float) -> float:
        """Images per second over the last twenty seconds, zero before there is any."""
        self._looks.append((at_s, num_done))
        while len(self._looks) > 2 and at_s - self._looks[0][0] > _WINDOW_S:
            self._looks.popleft()
        began_s, began = self._looks[0]
        return (num_done - began) / (at_s - began_s) if at_s > began_s else 0.0


def progress_line(tally: Tally, total: int, rate: float) -> str:
    """How far an add is, in words."""
    left = f", {duration((total - tally.num_looked_at) / rate)} left" if rate > 0 and total > tally.num_looked_at else ""
    return (
        f"{tally.num_looked_at:,} of {total:,} images, {rate:,.0f} images/s{left}: {tally.num_added:,} added, "
        f"{tally.num_known + tally.num_repeated:,} known, {tally.refused.total():,} refused"
    )


class _View:
    """Drawn again whenever the console asks."""

    def __init__(self, tally: Tally, total: int) -> None:
        self._tally, self._total, self._pace = tally, total, Pace()

    def __rich__(self) -> Table:
        rate = self._pace.look(self._tally.num_looked_at, time.monotonic())
        table = Table.grid(padding=(0, 1))
        table.add_row(
            ProgressBar(total=max(1, self._total), completed=self._tally.num_looked_at, width=30),
            progress_line(self._tally, self._total, rate),
        )
        return table


@asynccontextmanager
async def shown(tally: Tally, total: int, console: Console) -> AsyncIterator[None]:
    """Shows how a tally grows towards a total while the block lasts."""
    if console.is_terminal:
        with Live(_View(tally, total), console=console, refresh_per_second=1 / LOOK_EVERY_S):
            yield
        return
    saying = asyncio.create_task(_say_now_and_then(tally, total, console))
    try:
        yield
    finally:
        await end([saying])


async def _say_now_and_then(tally: Tally, total: int, console: Console) -> None:
    pace = Pace()
    pace.look(tally.num_looked_at, time.monotonic())
    while True:
        await asyncio.sleep(SAY_EVERY_S)
        say(console, progress_line(tally, total, pace.look(tally.num_looked_at, time.monotonic())))
