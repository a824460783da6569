"""Examples of wrong answers."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.attributor.diagnosis import diagnose
from services.attributor.evidence import MAX_CHARS, MAX_EXAMPLES, error_examples, shortened
from shared.domain import Cell, ErrorExample, ErrorType
from shared.errors import Rejected
from shared.tables import AnswerRow
from tests.unit.attributor.planted import CELLS, answer

CELL = CELLS[0]


def wrong(probe: int, said: str, *, right: str = "7", index: int = 0, error: ErrorType = ErrorType.WRONG_VALUE) -> AnswerRow:
    return replace(answer(f"p{probe:02}", CELL, index, "incorrect", error=error), reference=right, extracted=said)


def test_examples_say_reference_and_answer_of_at_most_three_probes_of_each_error_type() -> None:
    rows = [wrong(number, str(number)) for number in range(5)]
    rows += [wrong(number, f"{number}.5", index=1, error=ErrorType.NEAR_MISS) for number in range(2)]
    assert error_examples(rows)[CELL] == (
        ErrorExample(ErrorType.NEAR_MISS, "7", "0.5"),
        ErrorExample(ErrorType.NEAR_MISS, "7", "1.5"),
        *(ErrorExample(ErrorType.WRONG_VALUE, "7", str(number)) for number in range(3)),
    )


def test_greedy_answers_come_first_and_nothing_is_told_twice() -> None:
    rows = [wrong(1, "3", index=2), wrong(9, "4"), wrong(8, "4"), wrong(8, "5", index=1)]
    assert [example.answered for example in error_examples(rows)[CELL]] == ["4", "3"]


def test_greedy_failure_beside_a_right_sample_is_an_example_of_an_unreliable_skill() -> None:
    rows = [wrong(1, "3"), replace(wrong(1, "7", index=1), outcome="correct", error_type=None)]
    (cell,) = diagnose(rows)
    assert cell.examples == (ErrorExample(ErrorType.UNSTABLE, "7", "3"),)
    assert [count.error_type for count in cell.errors] == [ErrorType.UNSTABLE]


def test_what_cannot_be_read_is_told_as_it_was_said_and_silence_is_no_example() -> None:
    said = replace(wrong(1, ""), outcome="ungradable", extracted=None, completion="well,\n it\x07 depends " + "x" * 200)
    silent = replace(said, probe_id="p2", completion=" \n")
    (example,) = error_examples([said, silent])[CELL]
    assert example.answered.startswith("well, it depends xx")
    assert len(example.answered) == MAX_CHARS


@given(st.text())
def test_any_answer_becomes_one_short_line(text: str) -> None:
    line = shortened(text)
    assert len(line) <= MAX_CHARS
    assert line == line.strip()
    assert line.isprintable()


outcomes = st.sampled_from(["correct", "incorrect", "ungradable", "failed"])


def said(probe: int, cell: int, index: int, outcome: str, error: ErrorType, extracted: str | None) -> AnswerRow:
    row = answer(f"p{probe}", CELLS[cell], index, outcome, error=error if outcome == "incorrect" else None)
    return replace(row, reference="7", extracted=extracted)


extracted = st.sampled_from(["1", "2", "3", None])
rows = st.builds(said, st.integers(0, 8), st.integers(0, 2), st.integers(0, 3), outcomes, st.sampled_from(ErrorType), extracted)


@given(st.lists(rows, min_size=1, max_size=60, unique_by=lambda row: (row.cell, row.probe_id, row.sample_index)), st.randoms())
def test_examples_do_not_depend_on_the_order_and_bear_out_what_is_counted(answers: list[AnswerRow], shuffler: random.Random) -> None:
    shuffled = list(answers)
    shuffler.shuffle(shuffled)
    diagnosis = {cell.cell: cell for cell in diagnose(answers)}
    assert {cell.cell: cell.examples for cell in diagnose(shuffled)} == {cell: found.examples for cell, found in diagnosis.items()}
    for found in diagnosis.values():
        counted = {count.error_type: count.count for count in found.errors}
        shown = Counter(example.error_type for example in found.examples)
        assert all(number <= min(MAX_EXAMPLES, counted[error]) for error, number in shown.items())


def test_exam_answers_become_no_examples() -> None:
    with pytest.raises(Rejected, match="exam"):
        diagnose([wrong(1, "3"), replace(wrong(2, "4"), split="exam")])


def test_cells_keep_their_examples_apart() -> None:
    other = Cell(CELLS[40 % len(CELLS)].category, CELLS[1].question_type)
    examples = error_examples([wrong(1, "3"), replace(wrong(1, "4"), cell=other)])
    assert {cell: found[0].answered for cell, found in examples.items()} == {CELL: "3", other: "4"}
