"""Blueprint: what a candidate is to test, what to search for, and whether to change the image."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from services.generators.agentic.agents.consultation import AgentReply, Consultation
from services.generators.agentic.agents.task_text import guidance_lines, task_lines
from services.generators.agentic.assignment import Assignment
from shared.llm import Part, Role
from shared.quoting import quoted

_TEMPERATURE = 0.7
"""Candidates of one list should differ."""


@dataclass(frozen=True, slots=True)
class BlueprintTask:
    """What the agent gets to see."""

    assignment: Assignment
    seed_thumbnail: bytes
    """An image of the pool that was chosen to fit the cell; empty where there is none."""
    seed_caption: str
    """Whatever was written about it."""
    edits: str
    """What may be done to images of the category, in words of ours; empty where nothing."""
    searches_web: bool


class Blueprint(AgentReply):
    """What is to be made."""

    tests: Annotated[str, Field(min_length=8, max_length=400)]
    """What the question will test, in a sentence."""
    pool_query: Annotated[str, Field(min_length=1, max_length=120)]
    """Words that a fitting image's caption would hold."""
    web_query: Annotated[str, Field(max_length=120)]
    """For an image search; empty where none is needed."""
    edit: Annotated[str, Field(max_length=300)]
    """What to change in the image, so that the answer changes knowingly; empty for nothing."""


async def draw_blueprint(consultation: Consultation, task: BlueprintTask) -> Blueprint:
    """Plans a candidate.

    Raises:
        AgentFailed: no usable plan.
    """
    lines = [
        task_lines(task.assignment),
        "",
        guidance_lines(task.assignment.guidance),
        "",
        f"Edits: {task.edits}" if task.edits else "Edits: none are allowed; leave `edit` empty.",
        "Web search: there is one." if task.searches_web else "Web search: there is none; leave `web_query` empty.",
    ]
    parts = [Part(text="\n".join(lines))]
    if task.seed_thumbnail:
        caption = quoted(task.seed_caption, source="caption") if task.seed_caption else "no caption"
        parts += [Part(text=f"An image that is at hand:\n{caption}"), Part(image=task.seed_thumbnail)]

    async def complaint(blueprint: Blueprint) -> str | None:
        if blueprint.edit and not task.edits:
            return "`edit` must be empty: images of this category are not edited"
        if not blueprint.web_query and not task.seed_thumbnail:
            return "`web_query` must not be empty: no image is at hand"
        return None

    return await consultation.ask(Role.BLUEPRINT, parts, Blueprint, complaint=complaint, temperature=_TEMPERATURE)
