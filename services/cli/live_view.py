"""The live picture of a run: what every room does, and how far every iteration is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.cli.progress import IterationProgress, RunProgress
from services.cli.words import duration, on_screen, percent
from shared.catalogue import Room
from shared.presence import Presence

ORDER = [room.value for room in Room]
STATE_COLOURS = {"serving": "green", "starting": "yellow", "draining": "yellow"}


@dataclass(slots=True)
class LiveView:
    """Drawn again whenever the console asks; whoever watches keeps the fields current."""

    progress: RunProgress
    began_at: datetime
    rooms: Sequence[Presence] = ()
    notices: list[str] = field(default_factory=list)
    num_dead: int = 0

    def __rich__(self) -> RenderableType:
        """The picture."""
        elapsed = (datetime.now(UTC) - self.began_at).total_seconds()
        head = Text.assemble(
            ("Spiral ", "bold cyan"), f"run {self.progress.run_id} · {duration(elapsed)} · Ctrl-C stops, the same command continues"
        )
        parts: list[RenderableType] = [head, _rooms(self.rooms), _iterations(self.progress)]
        if self.num_dead:
            parts.append(Text(f"{self.num_dead} dead letter(s): the run may be stuck, see `spiral dead list`", style="bold red"))
        parts += [Text(notice, style="yellow") for notice in self.notices[-3:]]
        return Group(*parts)


def _rooms(rooms: Sequence[Presence]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, width in (("room", 22), ("state", 9), ("doing", 44), ("", 20), ("", 14)):
        table.add_column(name, min_width=width if name != "doing" else None, max_width=width, no_wrap=True)
    for room in sorted(rooms, key=lambda room: (ORDER.index(room.room) if room.room in ORDER else 99, room.kind or "", room.instance_id)):
        activity = room.activity
        name = f"{room.room}.{room.kind}" if room.kind else room.room
        bar = ProgressBar(total=activity.num_total, completed=activity.num_done, width=20) if activity.num_total else Text("")
        amount = f"{activity.num_done:,}/{activity.num_total:,}" if activity.num_total else ""
        state = Text(room.state, style=STATE_COLOURS.get(room.state, "red"))
        table.add_row(name, state, Text(on_screen(activity.what) or "idle", style="" if activity.what else "dim"), bar, amount)
    return table


def _iterations(progress: RunProgress) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("iteration", "stage", "accepted", "rejected", "training", "pass rate", "weak cells", "decision"):
        table.add_column(name, no_wrap=True, min_width=len(name))
    for iteration in range(progress.num_iterations + 1):
        at = progress.iterations.get(iteration, IterationProgress(iteration))
        accepted = f"{at.accepted:,}/{at.wanted:,}" if at.wanted else ""
        rate = "" if at.pass_rate is None else percent(at.pass_rate)
        decision = {None: "", True: "[green]champion[/green]", False: "[red]not promoted[/red]"}[at.is_promoted]
        stage = Text(at.stage, style="dim" if at.stage in ("waiting", "done") else "bold")
        weak = str(at.num_weak) if at.pass_rate is not None else ""
        rejected = f"{at.rejected.total():,}" if at.wanted else ""
        table.add_row("base" if iteration == 0 else str(iteration), stage, accepted, rejected, training_line(at), rate, weak, decision)
    return table


def training_line(at: IterationProgress) -> str:
    """The last figures of a training."""
    step = at.training
    if step is None:
        return ""
    reward = "" if step.reward is None else f", reward {step.reward:.2f}"
    return f"{step.recipe.value} {step.step}/{step.num_steps}, loss {step.loss:.3f}{reward}"
