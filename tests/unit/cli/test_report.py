"""A report from a run's events and exam answers."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from services.cli.report_build import Recorded, build_report
from services.cli.report_files import write_report
from services.cli.report_html import render_html
from services.cli.report_model import SCHEMA, to_json
from services.cli.report_terminal import print_report
from services.cli.room_times import covered_s, room_times
from shared import events as e
from shared.errors import BadConfiguration
from tests.unit.cli.example_run import CELLS, REF, RUN, SPEC, exam_answers, model, records

ANSWERS = {iteration: exam_answers(iteration) for iteration in range(3)}


def test_exam_figures_and_champion() -> None:
    report = build_report(SPEC, records(), ANSWERS)
    assert report.champion is not None
    assert report.champion.model_id == "demo/1"
    assert len(report.champion.why) == 3
    assert [exam.is_champion for exam in report.exams] == [True, True, False]
    score = report.exams[0].cells[0]
    mine = [row for row in ANSWERS[0] if row.cell == CELLS[0]]
    assert (score.n, score.correct) == (40, sum(row.outcome == "correct" for row in mine))
    assert score.interval.low < score.rate < score.interval.high
    assert report.comparison is not None
    assert report.comparison.num_pairs == 40 * len(CELLS)
    assert report.comparison.gain == pytest.approx(report.exams[1].macro - report.exams[0].macro)
    assert report.comparison.interval.low > 0


def test_a_probe_that_could_not_be_asked_is_no_wrong_answer() -> None:
    rows = [replace(row, outcome="failed") if row.probe_id == "exam-0-0" else row for row in ANSWERS[0]]
    score = build_report(SPEC, records(), {**ANSWERS, 0: rows}).exams[0].cells[0]
    assert (score.n, score.failed) == (39, 1)


def test_verdicts_are_counted_once_each_and_by_reason() -> None:
    report = build_report(SPEC, records(), ANSWERS)
    for round_ in report.rounds:
        assert round_.candidates == round_.accepted + sum(round_.rejected.values())
        assert round_.accepted == sum(cell.wanted for cell in round_.mixture)
        assert [stage.recipe for stage in round_.training] == ["teach", "reinforce"]


def test_a_run_that_goes_on_has_a_report_too() -> None:
    some = records()
    cut = next(index for index, record in enumerate(some) if isinstance(record.event, e.DatasetReady))
    report = build_report(SPEC, some[: cut + 1], {0: ANSWERS[0]})
    assert (report.run.state, report.rounds[0].stage, report.rounds[0].is_promoted) == ("running", "training", None)
    assert "running" in render_html(report)
    empty = build_report(SPEC, [], {})
    assert empty.champion is None
    assert "running" in render_html(empty)


def test_json_has_its_schema_and_only_finite_numbers() -> None:
    text = json.dumps(to_json(build_report(SPEC, records(), ANSWERS)), allow_nan=False)
    values = json.loads(text)
    assert values["schema"] == SCHEMA
    cell = values["exams"][0]["cells"][0]
    assert cell["cell"] == {"category": "chart_graph", "question_type": "multiple_choice"}
    assert {"n", "correct", "rate", "interval"} <= cell.keys()


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_others_wrote() -> None:
    some = records()
    injected = e.RunFinished(RUN, 2, some[-1].event.reason, model(1), "<script>alert(1)</script>")  # type: ignore[attr-defined]
    page = render_html(build_report(SPEC, [*some[:-1], Recorded(injected, some[-1].stored_at_ns)], ANSWERS))
    assert "<script" not in page
    assert set(re.findall(r'(?:src|href)="([a-z]+:[a-z/+]*)', page)) == {"data:image/svg+xml"}
    assert page.count("<img") == 5


def test_terminal_report_names_gain_and_champion() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    print_report(console, build_report(SPEC, records(), ANSWERS))
    text = console.export_text()
    assert "exam gain, champion over base: +" in text
    assert "champion: demo/1" in text


def test_room_times_count_overlaps_once() -> None:
    assert covered_s([(0, 2_000_000_000), (1_000_000_000, 3_000_000_000), (5_000_000_000, 6_000_000_000)]) == 4.0
    second = 1_000_000_000
    times = room_times(
        [
            (e.ModelUpdated(RUN, 0, model(0)), 0),
            (e.EvaluationCompleted(RUN, 0, model(0), REF, REF, 10, 50, 0, 0, "t"), 5 * second),
            (e.WeaknessReport(RUN, 0, model(0), REF, ()), 6 * second),
        ]
    )
    assert [(room.room, room.busy_s, room.rate_per_s) for room in times] == [("evaluator", 5.0, 10.0), ("attributor", 1.0, 1.0)]


def test_a_report_that_cannot_be_written_says_how_to_get_it_later(tmp_path: Path) -> None:
    (tmp_path / "reports").write_bytes(b"")
    with pytest.raises(BadConfiguration, match=rf"can't be written to .*: Not a directory.*`spiral report {RUN}`"):
        write_report(build_report(SPEC, records(), ANSWERS), tmp_path)
