"""Keeps a report as files beside the stack's state."""

import json
from pathlib import Path

from services.cli.report_model import Report, to_json
from shared.durable_files import place, stage
from shared.errors import BadConfiguration


def write_report(report: Report, state_dir: Path) -> Path:
    """Writes `reports/<run>/report.html` and `report.json`, each at once, and returns the page's path below `state_dir` as given.

    Raises:
        BadConfiguration: they can't be written there.
    """
    # matplotlib takes a second to load, which no other command should wait for.
    from services.cli.report_html import render_html

    folder = state_dir.expanduser().resolve() / "reports" / report.run.run_id
    files = {"report.json": json.dumps(to_json(report), indent=1, allow_nan=False), "report.html": render_html(report)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            place(stage([text.encode()], folder), folder / name)
    except OSError as error:
        raise BadConfiguration(
            f"the report can't be written to {folder}: {error.strerror}. The run is not lost: `spiral report {report.run.run_id}` "
            "writes it once that directory can be written"
        ) from error
    return state_dir / "reports" / report.run.run_id / "report.html"
