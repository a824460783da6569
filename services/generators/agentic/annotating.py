"""A question on an image of the pool as it is: looked at for its category, asked, answered blind. No search on the web, no edit."""

from collections.abc import Sequence

from services.generators.agentic.agents.ask import AskTask
from services.generators.agentic.agents.consultation import AgentFailed, Consultation
from services.generators.agentic.agents.look import look_at
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.crafting import Crafted
from services.generators.agentic.darkroom import Darkroom
from services.generators.agentic.questioning import agreed_item, as_crafted
from services.generators.agentic.reading import read_image
from services.generators.agentic.source import of_pool
from shared.llm import Role
from shared.pool import Pool, PoolImage


async def annotate(
    assignment: Assignment, consultation: Consultation, pool: Pool, darkroom: Darkroom, dealt: Sequence[PoolImage]
) -> Crafted:
    """A candidate on the first of the dealt images that shows the category.

    Raises:
        AgentFailed: none does, or an agent fails.
        BudgetSpent: the run has nothing left.
        Retryable: an endpoint or the store is away.
    """
    chosen = None
    for image in dealt:
        seen = await look_at(consultation, await read_image(pool.read_thumbnail(image)))
        if seen.is_usable and seen.category is assignment.cell.category:
            chosen = of_pool(image)
            break
    if chosen is None:
        raise AgentFailed(Role.SELECT, "no_image", f"none of {len(dealt)} images of the pool shows {assignment.cell.category.value}")
    working = await read_image(darkroom.develop(chosen, assignment.image_size_px))
    item = await agreed_item(consultation, AskTask(assignment, working.image, tests="", observations=None, effects=()))
    return as_crafted(assignment, consultation, item, working.image, chosen, edits=working.edits)
