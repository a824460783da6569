"""Observe: the facts that are to be seen in the final image, before anybody thinks of a question."""

from typing import Annotated

from pydantic import Field

from services.generators.agentic.agents.consultation import AgentReply, Consultation
from shared.llm import Part, Role

_Word = Annotated[str, Field(min_length=1, max_length=80)]
_Line = Annotated[str, Field(min_length=1, max_length=240)]


class SeenObject(AgentReply):
    """Things of one kind."""

    name: _Word
    count: Annotated[int, Field(ge=1, le=10_000)]
    details: Annotated[str, Field(max_length=240)]
    """Colour, size, material, state."""
    place: Annotated[str, Field(max_length=120)]
    """Where in the image."""


class Observations(AgentReply):
    """What is to be seen."""

    objects: Annotated[list[SeenObject], Field(max_length=40)]
    texts: Annotated[list[_Line], Field(max_length=40)]
    """Whatever is written in the image, letter by letter."""
    relations: Annotated[list[_Line], Field(max_length=40)]
    """How things stand to each other: left of, above, larger than, connected to."""
    unsure: Annotated[list[_Line], Field(max_length=20)]
    """What can't be seen clearly, so that nobody asks about it."""


async def observe(consultation: Consultation, image: bytes) -> Observations:
    """Looks at an image.

    Raises:
        AgentFailed: no usable observations.
    """

    async def complaint(seen: Observations) -> str | None:
        return None if seen.objects or seen.texts or seen.relations else "nothing at all is observed"

    parts = [Part(text="Write down what this image shows."), Part(image=image)]
    return await consultation.ask(Role.OBSERVE, parts, Observations, complaint=complaint)
