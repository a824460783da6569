"""The one prompt template, for diagnosis, pass rates, training and exams alike.

A pass rate measured under another prompt than the one trained says nothing, so every room renders questions here, and events carry
the template's digest.
"""

import hashlib
from collections.abc import Sequence

from shared.domain import QuestionType
from shared.quoting import tame

LETTERS = "ABCDEFGHIJ"

INSTRUCTIONS: dict[QuestionType, str] = {
    QuestionType.MULTIPLE_CHOICE: "Answer with the letter.",
    QuestionType.NUMERIC: "Answer with a number.",
    QuestionType.TEXT: "Answer in a few words.",
}

PROMPT_TEMPLATE = hashlib.sha256(repr((LETTERS, sorted(INSTRUCTIONS.items()), "question/choices/instruction")).encode()).hexdigest()[:16]


def render_question(question: str, question_type: QuestionType, choices: Sequence[str] = ()) -> str:
    """The text part of a prompt: the question, lettered options where there are any, and how to answer.

    Marks of chat templates within it are broken: one image more than there are, or a turn that ends, would fail a whole batch.
    """
    options = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    return "\n".join([*map(tame, (question, *options)), INSTRUCTIONS[question_type]])


def conversation(text: str) -> list[dict[str, object]]:
    """A rendered question as chat messages with the image before the text."""
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
