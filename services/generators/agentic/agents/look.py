"""Look: what category an image of the pool shows, and whether it can be asked about. It is told nothing of the image, nor of the cell.

So the question is the same for every lease and run, and the reply that stands in the store answers it: an image is looked at once.
"""

from typing import Annotated

from pydantic import Field

from services.generators.agentic.agents.consultation import AgentReply, Consultation
from services.generators.agentic.categories import definitions
from shared.domain import ImageCategory
from shared.llm import Part, Role


class Look(AgentReply):
    """What is to be seen."""

    reason: Annotated[str, Field(max_length=400)]
    category: ImageCategory
    is_usable: bool
    """Whether it is clear, and holds enough to ask about and nothing that may not be asked about."""


async def look_at(consultation: Consultation, thumbnail: bytes) -> Look:
    """Looks at an image.

    Raises:
        AgentFailed: no usable reply.
    """
    parts = [Part(text=f"The categories:\n{definitions()}"), Part(image=thumbnail)]
    return await consultation.ask(Role.SELECT, parts, Look, prompt_name="look", is_lasting=True)
