"""Solve: another model answers the question from the image alone. It sees neither the answer nor how the question came about."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from services.generators.agentic.agents.consultation import AgentReply, Consultation
from shared.domain import QuestionType
from shared.llm import Part, Role
from shared.prompt import render_question
from shared.quoting import quoted


class Solution(AgentReply):
    """What a reader makes of a question."""

    reasoning: Annotated[str, Field(max_length=2000)]
    is_answerable: bool
    """Whether the image and the question have exactly one answer."""
    answer: Annotated[str, Field(max_length=200)]
    """A letter, a number with its unit, or a few words; empty where there is none."""


async def solve(
    consultation: Consultation, image: bytes, question: str, question_type: QuestionType, choices: Sequence[str], *, label: str
) -> Solution:
    """Answers a question blind; `label` tells several attempts for one candidate apart.

    Raises:
        AgentFailed: no usable answer.
    """
    asked = quoted(render_question(question, question_type, choices), source="question")

    async def complaint(solution: Solution) -> str | None:
        return "`answer` is empty, though it is said to be answerable" if solution.is_answerable and not solution.answer else None

    return await consultation.ask(Role.SOLVE, [Part(text=asked), Part(image=image)], Solution, complaint=complaint, label=label)
