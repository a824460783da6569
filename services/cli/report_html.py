"""The report as one self-contained HTML file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.cli.report_model import Report
from services.cli.report_plots import label, plots
from services.cli.words import dollars, duration, estimated, percent, percent0, points, words


def render_html(report: Report) -> str:
    """The page; it loads nothing from elsewhere, and every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    champion = report.champion.iteration if report.champion else None
    pictures = dict.fromkeys(("macro", "cells", "gains", "mixture", "verdicts"), "") | plots(report)
    return environment.get_template("report.html.j2").render(
        r=report,
        plots=pictures,
        champion_exam=next((exam for exam in report.exams if exam.iteration == champion), None),
        begun=datetime.fromtimestamp(report.run.created_at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cell_rows=_cell_rows(report),
        reasons=sorted({reason for round_ in report.rounds for reason in round_.rejected}),
        label=label,
        dollars=dollars,
        duration=duration,
        estimated=estimated,
        percent=percent,
        percent0=percent0,
        points=points,
        words=words,
    )


def _cell_rows(report: Report) -> list[dict[str, Any]]:
    cells = sorted({score.cell for exam in report.exams for score in exam.cells})
    rows = []
    for cell in cells:
        scores = [next((score for score in exam.cells if score.cell == cell), None) for exam in report.exams]
        rows.append({"label": label(cell), "n": max(score.n for score in scores if score), "scores": scores})
    return rows
