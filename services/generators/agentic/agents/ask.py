"""Ask: a question with its answer, written with the image in view, never from a caption or from observations alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.generators.agentic.agents.consultation import Consultation
from services.generators.agentic.agents.items import SHAPES, AskedItem, Item, MultipleChoiceItem
from services.generators.agentic.agents.observe import Observations
from services.generators.agentic.agents.task_text import guidance_lines, task_lines
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.tools.edit_effects import Effect
from shared.domain import QuestionType
from shared.llm import Part, Role
from shared.quoting import quoted

_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class Objection:
    """What another reader answered to an earlier question; empty where it found no one answer."""

    item: Item
    other_answer: str


@dataclass(frozen=True, slots=True)
class AskTask:
    """What the agent gets to see."""

    assignment: Assignment
    image: bytes
    tests: str
    """From the blueprint; empty where there is none."""
    observations: Observations | None
    effects: Sequence[Effect]
    """What our own edits did to the image: known, not seen."""


async def ask(consultation: Consultation, task: AskTask, objection: Objection | None = None) -> Item:
    """Writes a question, or rewrites one that was objected to.

    Raises:
        AgentFailed: no usable question.
    """
    assignment = task.assignment
    lines = [task_lines(assignment), "", guidance_lines(assignment.guidance)]
    num_wrong = _num_wrong_choices(assignment.difficulty)
    if assignment.cell.question_type is QuestionType.MULTIPLE_CHOICE:
        lines += ["", f"Wrong choices: exactly {num_wrong}"]
    if task.tests:
        lines += ["", quoted(task.tests, source="what the question is to test")]
    if task.observations is not None:
        lines += ["", quoted(task.observations.model_dump_json(), source="observations", max_chars=12_000)]
    if task.effects:
        # What an edit wrote into the image is text of others as well.
        known = "\n".join(effect.text for effect in task.effects if effect.is_known)
        other = "\n".join(effect.text for effect in task.effects if not effect.is_known)
        lines += ["", "The image was edited."]
        lines += [quoted(known, source="known changes, certain")] if known else []
        lines += [quoted(other, source="other changes, to be looked for in the image")] if other else []
    parts = [Part(text="\n".join(lines)), Part(image=task.image)]
    if objection is not None:
        parts.append(Part(text=_told(objection)))
    shape = SHAPES[assignment.cell.question_type]
    label = "first" if objection is None else "revision"
    order_seed = assignment.draw("choices", label)

    async def complaint(asked: AskedItem) -> str | None:
        if isinstance(asked, MultipleChoiceItem) and len(asked.wrong_choices) != num_wrong:
            return f"{len(asked.wrong_choices)} wrong choices are given, and {num_wrong} were asked for"
        return asked.item(order_seed).fault()

    reply = await consultation.ask(Role.ASK, parts, shape, complaint=complaint, label=label, temperature=_TEMPERATURE)
    return reply.item(order_seed)


def _num_wrong_choices(difficulty: float) -> int:
    return 2 if difficulty < 1 / 3 else 3


def _told(objection: Objection) -> str:
    asked = quoted(objection.item.question, source="your question", max_chars=600)
    answer = quoted(objection.other_answer or "(no single answer)", source="another reader's answer", max_chars=300)
    return (
        f"You asked this before:\n{asked}\nAnother reader, who saw the same image, answered:\n{answer}\n"
        "Look again. If you erred, correct the answer; if the question can be read in two ways, or rests on what can hardly be seen, "
        "ask a plainer one. Keep what you are sure of: the other reader may be the one who erred."
    )
