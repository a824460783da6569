"""Questions as the ask agent writes them, one shape for each question type, and as candidates carry them."""

from dataclasses import dataclass
from random import Random
from typing import Annotated

from pydantic import Field

from services.generators.agentic.agents.consultation import AgentReply
from shared.answers import check_reference, grade
from shared.domain import QuestionType
from shared.prompt import LETTERS
from shared.quoting import tame, visible

_Question = Annotated[str, Field(min_length=8, max_length=500)]
_Evidence = Annotated[str, Field(min_length=1, max_length=1000)]
_Choice = Annotated[str, Field(min_length=1, max_length=120)]


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its answer."""

    question: str
    question_type: QuestionType
    choices: tuple[str, ...]
    answer: str
    tolerance: float

    def fault(self) -> str | None:
        """What is wrong with its shape, in words; None where it can be asked and graded."""
        if any(tame(text) != text for text in (self.question, self.answer, *self.choices)):
            return "it holds a mark like <|…|>, <…> or […], by which models tell turns and images apart: ask about something else"
        arguments = {"question_type": self.question_type, "answer": self.answer, "choices": self.choices}
        wrong = check_reference(**arguments, tolerance=self.tolerance)  # type: ignore[arg-type]
        if wrong is None and not grade(self.answer, **arguments, tolerance=self.tolerance).is_correct:  # type: ignore[arg-type]
            return f"answer {self.answer!r} is not graded as correct against itself: make it plainer"
        return wrong


class MultipleChoiceItem(AgentReply):
    """A question with one right choice. The choices' order is drawn afterwards, so that it follows no model's liking."""

    evidence: _Evidence
    """What is to be seen that the answer follows from."""
    question: _Question
    correct_choice: _Choice
    wrong_choices: Annotated[list[_Choice], Field(min_length=1, max_length=5)]

    def item(self, seed: int) -> Item:
        """The question with its choices in the order that a seed draws."""
        choices = [_plain(choice) for choice in (self.correct_choice, *self.wrong_choices)]
        order = list(range(len(choices)))
        Random(seed).shuffle(order)
        shown = tuple(choices[place] for place in order)
        return Item(_plain(self.question), QuestionType.MULTIPLE_CHOICE, shown, LETTERS[order.index(0)], 0.0)


class NumericItem(AgentReply):
    """A question that a number answers."""

    evidence: _Evidence
    question: _Question
    answer: Annotated[str, Field(min_length=1, max_length=60)]
    """One number in digits, with its unit where it has one."""
    tolerance: Annotated[float, Field(ge=0, le=1e9)]
    """Absolute, in the answer's unit; 0 for what is counted or written in the image."""

    def item(self, seed: int) -> Item:
        """The question; nothing is drawn."""
        return Item(_plain(self.question), QuestionType.NUMERIC, (), _plain(self.answer), self.tolerance)


class TextItem(AgentReply):
    """A question that a few words answer."""

    evidence: _Evidence
    question: _Question
    answer: Annotated[str, Field(min_length=1, max_length=80)]

    def item(self, seed: int) -> Item:
        """The question; nothing is drawn."""
        return Item(_plain(self.question), QuestionType.TEXT, (), _plain(self.answer), 0.0)


AskedItem = MultipleChoiceItem | NumericItem | TextItem
SHAPES: dict[QuestionType, type[MultipleChoiceItem] | type[NumericItem] | type[TextItem]] = {
    QuestionType.MULTIPLE_CHOICE: MultipleChoiceItem,
    QuestionType.NUMERIC: NumericItem,
    QuestionType.TEXT: TextItem,
}


def _plain(text: str) -> str:
    return " ".join(visible(text).split())
