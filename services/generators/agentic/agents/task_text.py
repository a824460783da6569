"""What agents are told of a task, in words of ours; what others wrote comes quoted."""

from services.generators.agentic.assignment import Assignment
from services.generators.agentic.categories import WORDS
from shared.domain import ErrorEvidence, ErrorType, Guidance, ImageCategory, QuestionType
from shared.quoting import quoted

_QUESTION_TYPES = {
    QuestionType.MULTIPLE_CHOICE: "one right choice among several",
    QuestionType.NUMERIC: "one number, with a unit where it has one",
    QuestionType.TEXT: "one to three words that stand in the image or name what it shows; nothing that could be said in several ways",
}
_ERROR_TYPES = {
    ErrorType.WRONG_VALUE: "a wrong answer",
    ErrorType.NEAR_MISS: "nearly right: off by little",
    ErrorType.WRONG_UNIT: "the right number in a wrong unit",
    ErrorType.UNGRADABLE: "no readable answer",
    ErrorType.UNSTABLE: "right at one time and wrong at another",
}
_MAX_EXAMPLES = 3
_MAX_EXAMPLE_CHARS = 120


def category_line(category: ImageCategory) -> str:
    """A category and what belongs to it."""
    return f"Image category: {category.value} ({WORDS[category].meaning})"


def task_lines(assignment: Assignment) -> str:
    """Cell and difficulty."""
    question_type = assignment.cell.question_type
    return "\n".join(
        [
            category_line(assignment.cell.category),
            f"Question type: {question_type.value} ({_QUESTION_TYPES[question_type]})",
            f"Difficulty: {assignment.difficulty:.2f} of 1 ({_difficulty(assignment.difficulty)})",
        ]
    )


def guidance_lines(guidance: Guidance | None) -> str:
    """What the student gets wrong; its answers and their references are quoted, for nobody here wrote them."""
    if guidance is None:
        return "The student: nothing is known of it yet."
    interval = guidance.interval
    lines = [f"The student answers {guidance.pass_rate:.0%} of such questions right (between {interval.low:.0%} and {interval.high:.0%})."]
    for evidence in guidance.errors:
        lines += _evidence_lines(evidence)
    return "\n".join(lines)


def _evidence_lines(evidence: ErrorEvidence) -> list[str]:
    lines = [f"{evidence.count} times: {evidence.error_type.value}, {_ERROR_TYPES[evidence.error_type]}."]
    for example in evidence.examples[:_MAX_EXAMPLES]:
        right = quoted(example.reference, source="the right answer", max_chars=_MAX_EXAMPLE_CHARS)
        said = quoted(example.answered, source="the student's answer", max_chars=_MAX_EXAMPLE_CHARS)
        lines.append(f"For example:\n{right}\n{said}")
    return lines


def _difficulty(difficulty: float) -> str:
    if difficulty < 1 / 3:
        return "easy: one look at one plain thing"
    if difficulty < 2 / 3:
        return "moderate: two or three things together, or a detail that takes a closer look"
    return "hard: several steps, such as counting under a condition, comparing what was counted, or calculating with what was read"
