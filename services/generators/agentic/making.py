"""One candidate from its blueprint on: an image is found, edited where its category allows it, observed, asked about, answered blind."""

from dataclasses import replace

from services.generators.agentic.agents.ask import AskTask
from services.generators.agentic.agents.blueprint import BlueprintTask, draw_blueprint
from services.generators.agentic.agents.consultation import AgentFailed, Consultation
from services.generators.agentic.agents.observe import observe
from services.generators.agentic.claims import Claims
from services.generators.agentic.crafting import Crafted
from services.generators.agentic.darkroom import Darkroom
from services.generators.agentic.editing import Edited, edit_image
from services.generators.agentic.equipment import Equipment
from services.generators.agentic.hunting import Hunt, hunt_image
from services.generators.agentic.questioning import agreed_item, as_crafted
from services.generators.agentic.reading import read_image
from services.generators.agentic.source import of_pool
from services.generators.agentic.tools.policies import POLICIES, SearchPriority
from shared.domain import ImageCategory
from shared.llm import Role

_PREFERENCES = {
    SearchPriority.HEAVILY: "Such images are found, hardly ever edited.",
    SearchPriority.PREFERRED: "Rather find an image that serves than edit one.",
    SearchPriority.BALANCED: "Found as they are, or edited: whatever serves better.",
    SearchPriority.GENERATION_FRIENDLY: "Edits are welcome.",
}


async def make(consultation: Consultation, equipment: Equipment, hunt: Hunt, claims: Claims) -> Crafted:
    """A candidate of the assignment's cell.

    Raises:
        AgentFailed: there will be none.
        BudgetSpent: the run has nothing left.
        Retryable: an endpoint, or the store, is away.
    """
    assignment, darkroom = hunt.assignment, Darkroom(equipment.artifacts)
    if not hunt.dealt and equipment.web is None:
        raise AgentFailed(Role.SELECT, "no_image", "the pool has none that fits and may be used, and there is no web search")
    seed_image = hunt.dealt[0] if hunt.dealt else None
    task = BlueprintTask(
        assignment=assignment,
        seed_thumbnail=await read_image(equipment.pool.read_thumbnail(seed_image)) if seed_image else b"",
        seed_caption=seed_image.caption if seed_image else "",
        edits=edits_in_words(assignment.cell.category) if consultation.has(Role.EDIT) else "",
        searches_web=equipment.web is not None,
    )
    blueprint = await draw_blueprint(consultation, task)
    source = await hunt_image(consultation, equipment, hunt, blueprint, claims)
    spares = [of_pool(image) for image in hunt.dealt if image.image_sha256 != source.image.sha256]
    if blueprint.edit:
        edited = await read_image(edit_image(assignment, consultation, equipment, darkroom, blueprint, source, spares))
    else:
        edited = Edited(await read_image(darkroom.develop(source, assignment.image_size_px)), ())
    image = edited.print.image
    observations = await observe(consultation, image)
    asked = AskTask(assignment, image, tests=blueprint.tests, observations=observations, effects=edited.effects)
    item = await agreed_item(consultation, asked)
    pasted = [spare for spare in spares if spare.image.sha256 in edited.print.sources]
    crafted = as_crafted(assignment, consultation, item, image, source, edits=edited.print.edits, pasted=pasted, blueprint=blueprint)
    return replace(crafted, sources={**crafted.sources, **{f"sources/{digest}": ref for digest, ref in edited.print.sources.items()}})


def edits_in_words(category: ImageCategory) -> str:
    """What may be done to images of a category, for whoever plans."""
    policy = POLICIES[category]
    return f"{_PREFERENCES[policy.search]} {policy.rule} Possible: {', '.join(sorted(policy.allowed))}."
