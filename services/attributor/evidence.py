"""Wrong answers beside the right ones, for those who make practice: what went wrong, in the model's own words. Pure.

Neither question nor image is told: they are probes, and would be practised instead of the skill.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from shared.domain import Cell, ErrorExample, ErrorType
from shared.tables import AnswerRow

MAX_EXAMPLES = 3
"""Of each error type."""
MAX_CHARS = 80
"""Of an answer that is told."""


def error_of(row: AnswerRow) -> ErrorType:
    """How a wrong answer went wrong, by itself."""
    return ErrorType.UNGRADABLE if row.outcome == "ungradable" else row.error_type or ErrorType.WRONG_VALUE


def error_examples(answers: Iterable[AnswerRow]) -> dict[Cell, tuple[ErrorExample, ...]]:
    """For each cell at most three wrong answers of each error type, whatever the order of the answers.

    Error types are those that `error_counts` counts. Greedy answers come first, since they are what the model would say; each example is
    of another probe and says something else. Answers are cut to 80 characters; one without a word is no example.
    """
    rows = sorted(answers, key=lambda row: (not row.is_greedy, row.probe_id, row.sample_index))
    solved = {(row.cell, row.probe_id) for row in rows if row.outcome == "correct" and not row.is_greedy}
    found: dict[Cell, list[ErrorExample]] = defaultdict(list)
    counts: Counter[tuple[Cell, ErrorType]] = Counter()
    told: set[tuple[Cell, ErrorType, str]] = set()
    for row in rows:
        if row.outcome not in ("incorrect", "ungradable"):
            continue
        error = ErrorType.UNSTABLE if row.is_greedy and (row.cell, row.probe_id) in solved else error_of(row)
        example = ErrorExample(error, shortened(row.reference), shortened(row.extracted or row.completion))
        marks = {(row.cell, error, row.probe_id), (row.cell, error, f"{example.reference}\n{example.answered}")}
        if not (example.reference and example.answered) or marks & told or counts[row.cell, error] == MAX_EXAMPLES:
            continue
        told |= marks
        counts[row.cell, error] += 1
        found[row.cell].append(example)
    return {cell: tuple(sorted(examples, key=lambda example: example.error_type)) for cell, examples in found.items()}


def shortened(text: str) -> str:
    """One line of at most 80 printable characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_CHARS else f"{line[: MAX_CHARS - 1]}…"
