"""The report in the terminal: the few figures that answer "did it help, where, and why this champion"."""

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.cli.report_model import Exam, LabelAudit, LabelScore, Report, Spending
from services.cli.words import dollars, duration, estimated, percent, percent0, points, words


def render_report(report: Report) -> RenderableType:
    """The whole report, top figure first."""
    parts: list[RenderableType] = [_head(report)]
    if report.exams:
        parts.append(_exam_table(report))
    if report.rounds:
        parts.append(_round_table(report))
    if report.kinds:
        parts.append(_kind_table(report))
    if report.labels:
        parts.append(_label_table(report.labels))
    if report.spending:
        parts.append(_spending_table(report.spending))
    if report.rooms:
        parts.append(_room_table(report))
    return Group(*parts)


def print_report(console: Console, report: Report) -> None:
    """Prints the report with a blank line around it."""
    console.print()
    console.print(render_report(report))


def _head(report: Report) -> Panel:
    run = report.run
    lines = Text()
    if report.comparison:
        gain, interval = report.comparison.gain, report.comparison.interval
        colour = "green" if interval.low > 0 else "red" if interval.high < 0 else "yellow"
        lines.append("exam gain, champion over base: ")
        lines.append(f"{points(gain)} points", style=f"bold {colour}")
        lines.append(f"  (95 % paired interval {points(interval.low)} to {points(interval.high)}, {report.comparison.num_pairs} items)\n")
    elif report.champion:
        lines.append("no exam gain: the base model is still the champion\n", style="yellow")
    if report.champion:
        lines.append(f"champion: {report.champion.model_id} (iteration {report.champion.iteration})\n", style="bold")
        for line in report.champion.why:
            lines.append(f"  {line}\n")
    if run.explanation:
        lines.append(f"{run.explanation}\n")
    lines.append(f"{run.state} {words(run.end_reason)} · {duration(run.total_s)} · seed {run.seed} · {words(run.strategy)}", style="dim")
    return Panel(lines, title=f"Spiral · run {run.run_id}", title_align="left", border_style="cyan")


def _exam_table(report: Report) -> Table:
    champion = report.champion.iteration if report.champion else None
    table = Table(title="Exam accuracy (95 % intervals; no decision saw these items)", title_justify="left", box=None, pad_edge=False)
    table.add_column("cell")
    table.add_column("n", justify="right")
    for exam in report.exams:
        table.add_column(f"it. {exam.iteration}{' ★' if exam.iteration == champion else ''}", justify="right")
    for cell in sorted({score.cell for exam in report.exams for score in exam.cells}):
        scores = [next((score for score in exam.cells if score.cell == cell), None) for exam in report.exams]
        n = max(score.n for score in scores if score)
        table.add_row(words(str(cell)), str(n), *(_rate(s.rate, s.interval.low, s.interval.high) if s else "–" for s in scores))
    table.add_section()
    table.add_row("macro", "", *(_macro(exam) for exam in report.exams), style="bold")
    return table


def _rate(rate: float, low: float, high: float) -> str:
    return f"{percent(rate)} [dim]{percent0(low):>2}–{percent0(high):<3}[/dim]"


def _macro(exam: Exam) -> str:
    return _rate(exam.macro, exam.interval.low, exam.interval.high)


def _round_table(report: Report) -> Table:
    table = Table(title="Iterations", title_justify="left", box=None, pad_edge=False)
    for name in ("it.", "accepted", "rejected", "closed by", "training", "core gain (decides)", "decision"):
        table.add_column(name, justify="right" if name in ("it.", "accepted") else "left")
    for round_ in report.rounds:
        rejected = ", ".join(f"{words(reason)} {count}" for reason, count in round_.rejected.items()) or "none"
        training = "; ".join(f"{stage.recipe} {stage.steps} steps, loss {stage.loss:.3f}" for stage in round_.training) or "–"
        gain = "–"
        if round_.core_gain is not None and round_.core_interval is not None:
            gain = f"{points(round_.core_gain)} ({points(round_.core_interval.low)} to {points(round_.core_interval.high)})"
        decision = {None: "–", True: "[green]promoted[/green]", False: "[red]champion kept[/red]"}[round_.is_promoted]
        accepted = f"{round_.accepted}/{round_.candidates}"
        table.add_row(str(round_.iteration), accepted, rejected, words(round_.closing_reason) or "–", training, gain, decision)
    return table


def _kind_table(report: Report) -> Table:
    table = _figures("Generators", ("kind", "leases", "candidates", "accepted", "rate", "models cost", "per accepted"), text=("kind",))
    for kind in report.kinds:
        rate = "–" if kind.acceptance is None else percent(kind.acceptance)
        counts = (f"{kind.leases:,}", f"{kind.candidates:,}", f"{kind.accepted:,}", rate)
        cost = (dollars(kind.cost_usd), dollars(kind.cost_per_accepted_usd)) if kind.calls else ("–", "–")
        table.add_row(kind.kind, *counts, *cost)
    return table


def _label_table(labels: LabelAudit) -> Table:
    title = f"Labels that people looked at (held back where surely less than {percent(labels.min_precision)} are right)"
    table = _figures(title, ("cell", "right", "wrong", "unsure", "precision", ""), text=("cell", ""))
    for cell in labels.cells:
        mark = "[red]held back[/red]" if cell.cell in labels.held_back else "[red]below[/red]" if cell.is_below_bound else ""
        table.add_row(words(str(cell.cell)), *_label_figures(cell.score), mark)
    table.add_section()
    table.add_row("all", *_label_figures(labels.score), "", style="bold")
    return table


def _label_figures(score: LabelScore) -> tuple[str, str, str, str]:
    return (str(score.correct), str(score.wrong), str(score.unsure), estimated(score.precision, score.interval.low, score.interval.high))


def _spending_table(spending: Spending) -> Table:
    per_accepted = dollars(spending.cost_per_accepted_usd)
    table = _figures(f"Language models ({per_accepted} per accepted sample)", ("role", "calls", "tokens", "cost"), text=("role",))
    for role in spending.roles:
        table.add_row(words(role.role), f"{role.calls:,}", f"{role.input_tokens + role.output_tokens:,}", dollars(role.cost_usd))
    table.add_section()
    table.add_row("all", f"{spending.calls:,}", f"{spending.tokens:,}", dollars(spending.cost_usd), style="bold")
    table.add_row("allowed", f"{spending.max_calls:,}", f"{spending.max_tokens:,}", dollars(spending.max_cost_usd), style="dim")
    return table


def _figures(title: str, columns: tuple[str, ...], *, text: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in text else "right")
    return table


def _room_table(report: Report) -> Table:
    table = Table(title="Rooms", title_justify="left", box=None, pad_edge=False)
    for name in ("room", "busy", "work", "rate"):
        table.add_column(name, justify="left" if name == "room" else "right")
    for room in report.rooms:
        table.add_row(room.room, duration(room.busy_s), f"{room.done:,} {room.unit}", f"{room.rate_per_s:.3g} /s")
    return table
