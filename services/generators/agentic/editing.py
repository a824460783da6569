"""The edits of one candidate: planned by an agent, checked against the category's policy, made, and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.generators.agentic.agents.blueprint import Blueprint
from services.generators.agentic.agents.consultation import AgentFailed, Consultation
from services.generators.agentic.agents.edit import EditPlan, EditTask, plan_edits
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.darkroom import Darkroom, Print, to_size
from services.generators.agentic.equipment import Equipment
from services.generators.agentic.source import Source
from services.generators.agentic.tools.edit_effects import Effect, effects
from services.generators.agentic.tools.edit_pixels import MIN_SIDE_PX
from services.generators.agentic.tools.edits import EditRefused
from services.generators.agentic.tools.policies import POLICIES, check_policy
from shared.domain import ArtifactRef
from shared.errors import NotFound
from shared.images.decoding import ImageRefused
from shared.llm import Role

_NUM_OTHERS = 2
"""Images that a composite is offered."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The image that is asked about, and what our edits are known to have done to it."""

    print: Print
    effects: tuple[Effect, ...]


async def edit_image(
    assignment: Assignment,
    consultation: Consultation,
    equipment: Equipment,
    darkroom: Darkroom,
    blueprint: Blueprint,
    source: Source,
    spares: Sequence[Source],
) -> Edited:
    """The source brought to size and changed as the blueprint wants it.

    `spares` are images that a composite may take a part of; those of another licence are not offered.

    Raises:
        AgentFailed: no edits that can be made, or the diffusion editor gave no image.
        BudgetSpent: the run has nothing left.
        Retryable: an endpoint, or the store, is away.
    """
    category = assignment.cell.category
    policy = POLICIES[category]
    working = await darkroom.develop(source, assignment.image_size_px)
    offered = [spare for spare in spares if spare.licence == source.licence and spare.thumbnail is not None][:_NUM_OTHERS]
    others = {spare.image.sha256: spare.image for spare in offered} if "composite" in policy.allowed else {}
    may_diffuse = policy.may_diffuse and consultation.has(Role.EDIT_IMAGE)

    async def try_out(plan: EditPlan) -> str | None:
        if plan.diffusion:
            return None if may_diffuse and not plan.ops else "`diffusion` stands alone, and only where there is such an editor"
        if not plan.ops:
            return "no operation is given"
        broken = check_policy(category, plan.ops)
        if broken:
            return "; ".join(broken)
        try:
            await darkroom.edit(source, (*working.ops, *plan.ops), others)
        except (EditRefused, NotFound, ImageRefused) as error:
            return str(error)
        return None

    task = EditTask(
        category=category,
        image=working.image,
        width_px=working.width_px,
        height_px=working.height_px,
        instruction=blueprint.edit,
        tests=blueprint.tests,
        may_diffuse=may_diffuse,
        others=[(digest, await _thumbnail(equipment, offered, digest)) for digest in others],
    )
    plan = await plan_edits(consultation, task, try_out)
    if plan.diffusion:
        return await _diffused(assignment, consultation, equipment, darkroom, source, plan.diffusion)
    made = await darkroom.edit(source, (*working.ops, *plan.ops), others)
    known = effects(made.ops, aspect_ratio=source.width_px / source.height_px)
    return Edited(made, known[len(working.ops) :])


async def _diffused(
    assignment: Assignment, consultation: Consultation, equipment: Equipment, darkroom: Darkroom, source: Source, prompt: str
) -> Edited:
    seed = assignment.draw(Role.EDIT_IMAGE.value)
    image = await equipment.artifacts.read_bytes(source.image)
    reply = await consultation.edit_image(image, prompt, seed=seed)
    try:
        op, ref, (width_px, height_px) = await darkroom.keep_diffusion(reply.value, prompt, model=reply.model, seed=seed)
    except ImageRefused as error:
        raise AgentFailed(Role.EDIT_IMAGE, "no_image", error.detail) from error
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise AgentFailed(Role.EDIT_IMAGE, "no_image", f"it sent {width_px}×{height_px} px: at least {MIN_SIDE_PX} px a side show anything")
    kept: Mapping[str, ArtifactRef] = {ref.sha256: ref}
    ops = (op, *to_size(width_px, height_px, assignment.image_size_px))
    made = await darkroom.edit(source, ops, kept)
    return Edited(made, effects(made.ops)[:1])


async def _thumbnail(equipment: Equipment, offered: Sequence[Source], digest: str) -> bytes:
    thumbnail = next(spare.thumbnail for spare in offered if spare.image.sha256 == digest)
    assert thumbnail is not None
    return await equipment.artifacts.read_bytes(thumbnail)
