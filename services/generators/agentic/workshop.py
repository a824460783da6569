"""A list of candidates at work: its images are dealt, and each candidate is made, or asked about an image as it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.generators.agentic.agents.consultation import Consultation
from services.generators.agentic.annotating import annotate
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.claims import Claims
from services.generators.agentic.crafting import Batch, Crafted, Ledger, craft_all
from services.generators.agentic.darkroom import Darkroom
from services.generators.agentic.equipment import Equipment
from services.generators.agentic.hunting import Hunt
from services.generators.agentic.making import make
from services.generators.agentic.seeding import deal_images
from services.generators.agentic.tools.source_caps import SourceCaps, caps_of
from shared.domain import LeaseTask, Spend
from shared.run_spec import QualitySpec


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run asks of sources."""

    licences: Sequence[str]
    caps: SourceCaps


def rules_of(quality: QualitySpec, num_candidates: int) -> Rules:
    """The rules for a list of so many candidates."""
    caps = caps_of(num_candidates, max_domain_share=quality.max_domain_share, max_image_share=quality.max_image_share)
    return Rules(quality.allowed_licences, caps)


async def craft_list(equipment: Equipment, assignments: Sequence[Assignment], rules: Rules, paid: list[Spend] | None = None) -> Batch:
    """Makes a list's candidates.

    `paid` holds what earlier attempts paid, and gets what this one pays, however it ends.

    Raises:
        Retryable: an endpoint, or the store, is away; what was paid stands for the next attempt.
    """
    if not assignments:
        return Batch((), (), ())
    first = assignments[0]
    dealt = await asyncio.to_thread(
        deal_images,
        equipment.pool,
        first.cell.category,
        turn=first.turn,
        seed=first.seed,
        num_candidates=len(assignments),
        licences=rules.licences,
        caps=rules.caps,
    )
    all_dealt = frozenset(image.image_sha256 for images in dealt for image in images)

    async def craft(assignment: Assignment, claims: Claims, ledger: Ledger) -> Crafted:
        consultation = Consultation(equipment.models, assignment, ledger.records)
        images = dealt[assignment.index]
        if assignment.task is LeaseTask.ANNOTATE:
            return await annotate(assignment, consultation, equipment.pool, Darkroom(equipment.artifacts), images)
        return await make(consultation, equipment, Hunt(assignment, images, all_dealt, rules.licences), claims)

    return await craft_all(assignments, craft, rules.caps, [] if paid is None else paid)
