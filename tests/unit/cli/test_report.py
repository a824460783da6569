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
from shared.domain import AuditVerdict, GeneratorIdentity, Spend
from shared.errors import BadConfiguration
from shared.intervals import wilson
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


def audited() -> list[Recorded]:
    """The example run with audits and model calls: the first cell is held back, agentic answered half of the leases at a price."""
    some = []
    for number, record in enumerate(records()):
        event = record.event
        agentic = GeneratorIdentity("agentic", "1.0.0", "b")
        if isinstance(event, e.MixturePlanned) and event.iteration == 2:
            event = replace(event, held_back=CELLS[:1])
        if isinstance(event, e.CandidatesGenerated | e.CandidatesReviewed) and CELLS.index(event.lease.cell) % 2:
            making, checking = Spend("ask", 3, 1000, 100, 0.25), Spend("verify", 3, 1000, 100, 0.25)
            spent = (making, Spend("solve", 0, 0, 0, 0.0)) if isinstance(event, e.CandidatesGenerated) else (making, checking)
            event = replace(event, generator=agentic, spent=spent)
        some.append(Recorded(event, record.stored_at_ns))
        if number == 60:
            some += [Recorded(label(n, AuditVerdict.WRONG if n < 3 else AuditVerdict.CORRECT), record.stored_at_ns) for n in range(5)]
    late = some[-1].stored_at_ns + 10**15
    return [*some, Recorded(label(0, AuditVerdict.UNSURE, revision=2), late)]


def label(number: int, verdict: AuditVerdict, revision: int = 1) -> e.LabelAudited:
    return e.LabelAudited(RUN, 1, CELLS[number % 2], f"sample-{number}", verdict, "ann", "", revision)


def test_labels_are_reported_by_their_last_words_with_what_was_held_back() -> None:
    report = build_report(SPEC, audited(), ANSWERS)
    labels = report.labels
    assert labels is not None
    assert (labels.score.audited, labels.score.correct, labels.score.wrong, labels.score.unsure) == (5, 2, 2, 1)
    assert [(cell.cell, cell.score.wrong) for cell in labels.cells] == [(CELLS[0], 1), (CELLS[1], 1)]
    assert labels.held_back == report.rounds[1].held_back == CELLS[:1]
    assert labels.score.interval == wilson(2, 4)
    assert report.run.total_s == build_report(SPEC, records(), ANSWERS).run.total_s, "who looks later makes the run no longer"
    assert build_report(SPEC, records(), ANSWERS).labels is None


def test_spending_is_summed_by_role_and_kind() -> None:
    report = build_report(SPEC, audited(), ANSWERS)
    assert report.spending is not None
    num_agentic = 2 * len(CELLS) // 2
    assert [(role.role, role.calls, role.cost_usd) for role in report.spending.roles] == [
        ("ask", 3 * num_agentic, 0.25 * num_agentic),
        ("verify", 3 * num_agentic, 0.25 * num_agentic),
    ]
    assert report.spending.tokens == 2 * num_agentic * 1100
    agentic, rendered = report.kinds
    assert (agentic.kind, agentic.leases, agentic.cost_usd, rendered.cost_usd) == ("agentic", num_agentic, 0.5 * num_agentic, 0.0)
    assert agentic.candidates == agentic.accepted + sum(agentic.rejected.values())
    assert agentic.accepted + rendered.accepted == sum(round_.accepted for round_ in report.rounds)
    assert agentic.cost_per_accepted_usd == pytest.approx(agentic.cost_usd / agentic.accepted)
    assert report.spending.cost_per_accepted_usd == pytest.approx(report.spending.cost_usd / (agentic.accepted + rendered.accepted))


def test_what_was_made_and_not_reviewed_yet_counts_as_spent() -> None:
    some = audited()
    unreviewed = [record for record in some if not isinstance(record.event, e.CandidatesReviewed)]
    agentic, rendered = build_report(SPEC, unreviewed, ANSWERS).kinds
    assert (agentic.cost_usd, rendered.cost_usd, agentic.cost_per_accepted_usd) == (0.25 * agentic.leases, 0.0, None)


def test_lease_that_was_reviewed_twice_counts_once() -> None:
    some = audited()
    again = next(record for record in reversed(some) if isinstance(record.event, e.CandidatesReviewed))
    again = Recorded(replace(again.event, run_id=RUN), again.stored_at_ns)
    assert build_report(SPEC, [*some, again], ANSWERS).kinds == build_report(SPEC, some, ANSWERS).kinds


def test_budget_is_what_counts_where_one_was_kept() -> None:
    counted = (Spend("ask", 7, 10, 20, 1.5), Spend("verify", 0, 0, 0, 0.0))
    spending = build_report(SPEC, audited(), ANSWERS, counted).spending
    assert spending is not None
    assert [(role.role, role.calls) for role in spending.roles] == [("ask", 7)]
    assert (spending.cost_usd, spending.max_cost_usd) == (1.5, SPEC.spending.max_cost_usd)
    assert build_report(SPEC, records(), ANSWERS).spending is None


def test_new_figures_stand_in_page_terminal_and_json() -> None:
    report = build_report(SPEC, audited(), ANSWERS)
    page = render_html(report)
    assert all(words in page for words in ("Labels", "held back", "Language models", "Generators", "agentic", "$12.00"))
    console = Console(width=160, record=True, file=io.StringIO())
    print_report(console, report)
    text = console.export_text()
    assert all(words in text for words in ("Labels that people looked at", "held back", "Language models", "Generators", "$12.00"))
    values = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert values["labels"]["cells"][0]["score"]["interval"].keys() == {"low", "high", "level"}
    assert values["rounds"][1]["held_back"] == [{"category": "chart_graph", "question_type": "multiple_choice"}]
    assert {"role", "calls", "cost_usd"} <= values["spending"]["roles"][0].keys()
    assert values["kinds"][0]["kind"] == "agentic"
