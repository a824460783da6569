"""Select: which of several images serve, if any, and what categories they show. It looks at them, and takes no caption's word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from services.generators.agentic.agents.consultation import AgentReply, Consultation
from services.generators.agentic.agents.task_text import category_line
from services.generators.agentic.categories import definitions
from shared.domain import ImageCategory
from shared.llm import Part, Role
from shared.quoting import quoted

_MAX_CAPTION_CHARS = 300


@dataclass(frozen=True, slots=True)
class Option:
    """An image on offer."""

    thumbnail: bytes
    caption: str
    """Caption or title, by whoever."""


@dataclass(frozen=True, slots=True)
class SelectTask:
    """What the agent gets to see."""

    category: ImageCategory
    tests: str
    """What the question will test."""
    options: Sequence[Option]


class Fit(AgentReply):
    """An image that serves."""

    image: Annotated[int, Field(ge=1)]
    """Its number."""
    category: ImageCategory
    """What it shows."""


class Selection(AgentReply):
    """The choice."""

    reason: Annotated[str, Field(max_length=400)]
    fitting: Annotated[list[Fit], Field(max_length=16)]
    """The images that serve, the best first; empty for none."""

    def places(self, category: ImageCategory) -> list[int]:
        """Where among the options those stand that serve and show the category, the best first; counted from 0."""
        return list(dict.fromkeys(fit.image - 1 for fit in self.fitting if fit.category is category))


async def select_image(consultation: Consultation, task: SelectTask, *, label: str) -> Selection:
    """Looks at the options; `label` tells several looks for one candidate apart.

    Raises:
        AgentFailed: no usable choice.
    """
    lines = [
        category_line(task.category),
        quoted(task.tests, source="what the question will test"),
        "",
        "The categories:",
        definitions(),
        "",
        f"Images on offer: {len(task.options)}",
    ]
    parts = [Part(text="\n".join(lines))]
    for number, option in enumerate(task.options, 1):
        caption = quoted(option.caption, source="caption", max_chars=_MAX_CAPTION_CHARS) if option.caption else "no caption"
        parts += [Part(text=f"Image {number}\n{caption}"), Part(image=option.thumbnail)]

    async def complaint(selection: Selection) -> str | None:
        unknown = [fit.image for fit in selection.fitting if fit.image > len(task.options)]
        return f"image {unknown[0]} is none of the {len(task.options)} on offer" if unknown else None

    return await consultation.ask(Role.SELECT, parts, Selection, complaint=complaint, label=label)
