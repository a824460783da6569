"""Keeps a report as files beside the stack's state."""

import json
from pathlib import Path

from services.cli.report_model import Report, to_json
from shared.durable_files import place, stage


def write_report(report: Report, state_dir: Path) -> Path:
    """Writes `reports/<run>/report.html` and `report.json`, each at once, and returns the page's path."""
    # matplotlib takes a second to load, which no other command should wait for.
    from services.cli.report_html import render_html

    folder = state_dir.expanduser().resolve() / "reports" / report.run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("report.json", json.dumps(to_json(report), indent=1, allow_nan=False)), ("report.html", render_html(report))):
        place(stage([text.encode()], folder), folder / name)
    return folder / "report.html"
