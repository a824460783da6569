"""Edit: an instruction in words becomes exact operations, or where the category allows it a diffusion editor's instruction."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from services.generators.agentic.agents.consultation import AgentReply, Consultation
from services.generators.agentic.agents.task_text import category_line
from services.generators.agentic.tools.edit_ops import MAX_EDITS, LocalOp
from services.generators.agentic.tools.policies import POLICIES
from shared.domain import ImageCategory
from shared.llm import Part, Role
from shared.quoting import quoted


@dataclass(frozen=True, slots=True)
class EditTask:
    """What the agent gets to see."""

    category: ImageCategory
    image: bytes
    width_px: int
    height_px: int
    instruction: str
    """From the blueprint."""
    tests: str
    may_diffuse: bool
    others: Sequence[tuple[str, bytes]]
    """Images that a composite may take a part of: digest and thumbnail."""


class EditPlan(AgentReply):
    """What is to be done: operations, or a diffusion editor's instruction."""

    ops: Annotated[list[LocalOp], Field(max_length=MAX_EDITS)]
    diffusion: Annotated[str, Field(max_length=600)]
    """For the diffusion editor; empty where operations do."""


async def plan_edits(consultation: Consultation, task: EditTask, try_out: Callable[[EditPlan], Awaitable[str | None]]) -> EditPlan:
    """Plans the edits of an image.

    `try_out` makes them and says what is wrong with them, in words for the agent.

    Raises:
        AgentFailed: no edits that can be made.
    """
    policy = POLICIES[task.category]
    local = sorted(policy.allowed - {"diffusion"} - ({"composite"} if not task.others else set()))
    lines = [
        category_line(task.category),
        f"Rule for this category: {policy.rule}",
        f"Operations: {', '.join(local)}; at most {policy.max_edits}",
        "Diffusion editor: there is one; use it only if no operation will do, and then with no operation beside it."
        if task.may_diffuse
        else "Diffusion editor: none; leave `diffusion` empty.",
        f"Size: {task.width_px}×{task.height_px} pixels. Positions are shares of width and height, from 0 to 1.",
        quoted(task.instruction, source="what to change"),
        quoted(task.tests, source="what the question will test"),
    ]
    parts = [Part(text="\n".join(lines)), Part(image=task.image)]
    for digest, thumbnail in task.others:
        parts += [Part(text=f"Another image, for composite: {digest}"), Part(image=thumbnail)]
    return await consultation.ask(Role.EDIT, parts, EditPlan, complaint=try_out)
