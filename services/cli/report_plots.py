"""The report's pictures: each function returns one SVG that needs nothing from outside."""

import base64
import io
from collections import Counter
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from services.cli.report_model import CellDifference, Exam, Report, Round
from shared.domain import Cell, QuestionType

INK, MUTED, GRID = "#1c2333", "#6b7280", "#e5e7eb"
ACCENT, GOOD, BAD = "#4f46e5", "#0f9d6b", "#d1495b"
TYPE_COLOURS = {QuestionType.MULTIPLE_CHOICE: "#4f46e5", QuestionType.NUMERIC: "#e08e0b", QuestionType.TEXT: "#0e9aa7"}
REASON_COLOURS = (
    *("#4f46e5", "#e08e0b", "#0e9aa7", "#d1495b", "#8b5cf6", "#64748b", "#84a98c", "#f2a6b3", "#b08968", "#3a86ff"),
    *("#94a3b8", "#1c7c54", "#f4b400", "#7f1d1d", "#9bf6ff", "#5f0f40", "#c0ca33", "#264653", "#ffb38a"),
)
"""One for each reason."""
HEAT = LinearSegmentedColormap.from_list("spiral", ["#f5f6ff", "#a5b4fc", "#4f46e5", "#312e81"])

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.hashsalt": "spiral",
}


def label(cell: Cell) -> str:
    """A cell as people read it."""
    return f"{cell.category.value.replace('_', ' ')} · {cell.question_type.value.replace('_', ' ')}"


def data_url(svg: bytes) -> str:
    """An SVG as a source that an <img> shows without any other file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def plots(report: Report) -> dict[str, str]:
    """All pictures that the report has figures for, by name, as data URLs."""
    with plt.rc_context(STYLE):
        pictures: dict[str, bytes] = {}
        if report.exams:
            pictures["macro"] = macro_plot(report.exams)
            pictures["cells"] = cells_plot(report.exams)
        if report.comparison:
            pictures["gains"] = gains_plot(report.comparison.cells)
        if report.rounds:
            pictures["mixture"] = mixture_plot(report.rounds)
            pictures["verdicts"] = verdicts_plot(report.rounds)
    return {name: data_url(svg) for name, svg in pictures.items()}


def macro_plot(exams: tuple[Exam, ...]) -> bytes:
    """Macro accuracy of every model on the exam, with intervals; filled marks were champion."""
    figure, axes = plt.subplots(figsize=(5.2, 3.9))
    x = [exam.iteration for exam in exams]
    axes.fill_between(x, [exam.interval.low for exam in exams], [exam.interval.high for exam in exams], color=ACCENT, alpha=0.12, lw=0)
    axes.plot(x, [exam.macro for exam in exams], color=ACCENT, lw=2)
    for exam in exams:
        axes.plot(exam.iteration, exam.macro, "o", ms=8, mec=ACCENT, mew=1.8, mfc=ACCENT if exam.is_champion else "white")
        axes.annotate(f"{exam.macro:.1%}", (exam.iteration, exam.macro), (0, 11), textcoords="offset points", ha="center", weight="bold")
    axes.set(xticks=x, xlim=(min(x) - 0.3, max(x) + 0.3), xlabel="iteration (0 is the base model)")
    axes.margins(y=0.25)
    _percent(axes)
    return _svg(figure)


def cells_plot(exams: tuple[Exam, ...]) -> bytes:
    """Accuracy of every cell over iterations: one panel a category, one line a question type, with Wilson intervals."""
    categories = sorted({score.cell.category for exam in exams for score in exam.cells})
    columns = min(4, len(categories))
    rows = -(-len(categories) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(2.55 * columns, 1.95 * rows), sharex=True, sharey=True, squeeze=False)
    for panel, axes in enumerate(grid.flat):
        if panel >= len(categories):
            axes.axis("off")
            continue
        axes.set_title(categories[panel].value.replace("_", " "), fontsize=9, weight="bold", loc="left")
        for offset, (kind, colour) in enumerate(TYPE_COLOURS.items()):
            points = [
                (exam.iteration + 0.08 * (offset - 1), score)
                for exam in exams
                for score in exam.cells
                if score.cell == Cell(categories[panel], kind) and score.n
            ]
            if points:
                x, rates = [at for at, _ in points], [score.rate for _, score in points]
                below = [max(0.0, score.rate - score.interval.low) for _, score in points]
                above = [max(0.0, score.interval.high - score.rate) for _, score in points]
                axes.errorbar(x, rates, [below, above], color=colour, lw=1.6, marker="o", ms=3.5, elinewidth=0.8, alpha=0.95)
        axes.set(ylim=(-0.03, 1.03), xticks=[exam.iteration for exam in exams])
        _percent(axes)
    handles = [Line2D([], [], color=colour, lw=2, label=kind.value.replace("_", " ")) for kind, colour in TYPE_COLOURS.items()]
    figure.legend(handles=handles, loc="lower center", ncols=3, bbox_to_anchor=(0.5, -0.06 / rows))
    return _svg(figure)


def gains_plot(cells: tuple[CellDifference, ...]) -> bytes:
    """Champion minus base for every cell, largest gain first, with paired intervals."""
    ordered = sorted(cells, key=lambda cell: cell.gain)
    figure, axes = plt.subplots(figsize=(5.6, 0.6 + 0.22 * len(ordered)))
    for y, cell in enumerate(ordered):
        colour = GOOD if cell.interval.low > 0 else BAD if cell.interval.high < 0 else MUTED
        axes.plot([cell.interval.low, cell.interval.high], [y, y], color=colour, lw=1.6, alpha=0.6, solid_capstyle="round")
        axes.plot(cell.gain, y, "o", color=colour, ms=5)
    axes.axvline(0, color=INK, lw=0.8)
    axes.set(yticks=range(len(ordered)), yticklabels=[label(cell.cell) for cell in ordered], ylim=(-0.7, len(ordered) - 0.3))
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}")
    axes.set_xlabel("points of exam accuracy, champion minus base")
    return _svg(figure)


def mixture_plot(rounds: tuple[Round, ...]) -> bytes:
    """Samples asked for, cell by iteration; a ring marks cells that are reinforced."""
    cells = sorted({part.cell for round_ in rounds for part in round_.mixture})
    figure, axes = plt.subplots(figsize=(2.6 + 0.75 * len(rounds), 0.6 + 0.22 * len(cells)))
    wanted = {(part.cell, round_.iteration): part for round_ in rounds for part in round_.mixture}
    top = max((part.wanted for part in wanted.values()), default=1) or 1
    for y, cell in enumerate(reversed(cells)):
        for x, round_ in enumerate(rounds):
            part = wanted.get((cell, round_.iteration))
            if part is None:
                continue
            share = part.wanted / top
            is_reinforced = part.recipe == "reinforce"
            box = Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, fc=HEAT(share), ec=TYPE_COLOURS[QuestionType.NUMERIC], lw=1.6 * is_reinforced)
            axes.add_patch(box)
            axes.text(x, y, str(part.wanted), ha="center", va="center", fontsize=7.5, color="white" if share > 0.5 else INK)
    axes.set(xlim=(-0.5, len(rounds) - 0.5), ylim=(-0.5, len(cells) - 0.5), yticks=range(len(cells)))
    axes.set(xticks=range(len(rounds)), xticklabels=[f"iteration {round_.iteration}" for round_ in rounds])
    axes.set_yticklabels([label(cell) for cell in reversed(cells)])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return _svg(figure)


def verdicts_plot(rounds: tuple[Round, ...]) -> bytes:
    """What became of the candidates: accepted, and rejected by reason."""
    reasons = [reason for reason, _ in sum((Counter(round_.rejected) for round_ in rounds), Counter[str]()).most_common()]
    figure, axes = plt.subplots(figsize=(5.6, 0.9 + 0.42 * len(rounds)))
    for y, round_ in enumerate(rounds):
        left = 0
        parts = [("accepted", round_.accepted, GOOD)]
        parts += [(reason, round_.rejected.get(reason, 0), REASON_COLOURS[i % len(REASON_COLOURS)]) for i, reason in enumerate(reasons)]
        for name, count, colour in parts:
            axes.barh(y, count, left=left, color=colour, height=0.62, label=name.replace("_", " ") if y == 0 else None)
            left += count
    axes.set(yticks=range(len(rounds)), yticklabels=[f"iteration {round_.iteration}" for round_ in rounds])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    figure.legend(loc="upper center", ncols=4, bbox_to_anchor=(0.5, 0.0), fontsize=8)
    return _svg(figure)


def _percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def _svg(figure: Figure) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    plt.close(figure)
    return sink.getvalue()
