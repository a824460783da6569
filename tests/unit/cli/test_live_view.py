"""What the live view shows of a run."""

import io
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from services.cli.live_view import LiveView
from services.cli.progress import RunProgress
from shared import events as e
from shared.presence import CurrentActivity, Presence
from tests.unit.cli.example_run import CELLS, RUN, records


def shown(view: LiveView) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(view)
    return console.export_text()


def test_stage_and_figures_of_every_iteration() -> None:
    progress = RunProgress(RUN, 2)
    for record in records():
        progress.apply(record.event)
        if isinstance(record.event, e.TrainingProgressed):
            break
    text = shown(LiveView(progress, datetime.now(UTC)))
    assert "training" in text
    assert "teach 300/300, loss 0.412" in text
    assert "2,000/2,000" in text
    assert text.count("waiting") == 1


def test_steps_are_said_in_words_once_each() -> None:
    progress = RunProgress(RUN, 2)
    lines = [line for record in records() if (line := progress.apply(record.event)) is not None]
    assert lines[0] == "iteration 0: model demo/0 stands, evaluating"
    assert lines[-1] == "iteration 2: run finished (iterations done): 2 iterations are done; demo/1 is the champion"
    assert len(lines) == len(set(lines))
    assert progress.finished is not None


def test_cells_that_are_held_back_are_named() -> None:
    planned = next(record.event for record in records() if isinstance(record.event, e.MixturePlanned))
    line = RunProgress(RUN, 2).apply(replace(planned, held_back=CELLS[:2]))
    assert line is not None
    assert line.endswith("; held back for wrong labels: chart_graph/multiple_choice, chart_graph/numeric")


def test_rooms_dead_letters_and_notices() -> None:
    now = datetime.now(UTC).isoformat()
    room = Presence("trainer", None, "a", 7, "1", "127.0.0.1:1", "serving", now, now, CurrentActivity("training [step]", RUN, 3, 12))
    view = LiveView(RunProgress(RUN, 1), datetime.now(UTC), rooms=[room], notices=["trainer was killed"], num_dead=2)
    text = shown(view)
    assert "training [step]" in text
    assert "3/12" in text
    assert "2 dead letter(s)" in text
    assert "trainer was killed" in text
