"""Finding the image of one candidate: in the pool first, then on the web, and chosen by a model that looks at it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.generators.agentic.agents.blueprint import Blueprint
from services.generators.agentic.agents.consultation import AgentFailed, Consultation
from services.generators.agentic.agents.select import Option, SelectTask, select_image
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.claims import Claims
from services.generators.agentic.equipment import Equipment
from services.generators.agentic.licences import is_allowed
from services.generators.agentic.reading import read_image
from services.generators.agentic.seeding import share_of
from services.generators.agentic.source import Source, of_pool
from services.generators.agentic.thumbnails import thumbnail_in_thread
from shared.errors import Rejected, Retryable
from shared.llm import Role
from shared.pool import Hit, PoolImage

_HITS_PER_OPTION = 4
"""Of what a search of the pool finds, so many are looked through for each image that is shown; the other candidates have their share."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What the search for one candidate's image goes by."""

    assignment: Assignment
    dealt: Sequence[PoolImage]
    """The candidate's own images, the most fitting first."""
    all_dealt: frozenset[str]
    """Digests of every candidate's own images."""
    licences: Sequence[str]
    """Those that the run lets in; empty for any that is stated."""


async def hunt_image(consultation: Consultation, equipment: Equipment, hunt: Hunt, blueprint: Blueprint, claims: Claims) -> Source:
    """The image that serves the blueprint, shows the category and may still be used; it is claimed.

    Raises:
        AgentFailed: there is none.
        BudgetSpent: the run has nothing left.
        Retryable: an endpoint, or the store, is away; or the web search is, and there is no other place to look.
    """
    reasons = []
    at_hand = await _of_pool(consultation, equipment, hunt, blueprint)
    for origin in ("pool", "web"):
        found = at_hand if origin == "pool" else await _of_web(equipment, hunt, blueprint, has_other=bool(at_hand))
        if not found:
            continue
        places = await _fitting(consultation, equipment, hunt, blueprint, found, origin)
        granted = await claims.first_free(hunt.assignment.index, [found[place].mark for place in places]) if places else None
        if granted is not None:
            claims.pass_on(hunt.assignment.index)
            return found[places[granted]]
        reasons.append("over_represented" if places else "no_image")
    raise AgentFailed(Role.SELECT, reasons[-1] if reasons else "no_image", f"searched for {blueprint.pool_query!r}")


async def _fitting(
    consultation: Consultation, equipment: Equipment, hunt: Hunt, blueprint: Blueprint, found: Sequence[Source], origin: str
) -> list[int]:
    options = [Option(await read_image(_thumbnail(equipment, source)), source.caption) for source in found]
    category = hunt.assignment.cell.category
    selection = await select_image(consultation, SelectTask(category, blueprint.tests, options), label=origin)
    return selection.places(category)


async def _of_pool(consultation: Consultation, equipment: Equipment, hunt: Hunt, blueprint: Blueprint) -> list[Source]:
    """The candidate's own first image, its share of what the blueprint's words find, and the rest of its own."""
    assignment, limit = hunt.assignment, equipment.max_options
    category = assignment.cell.category
    hits = await _search(consultation, equipment, blueprint.pool_query, _HITS_PER_OPTION * limit * assignment.num_candidates)
    mine = [
        hit.image
        for hit in hits
        if hit.image.category in (category, None)
        and hit.image.image_sha256 not in hunt.all_dealt
        and is_allowed(hit.image.licence, hunt.licences)
        and share_of(hit.image, assignment.seed, assignment.num_candidates) == assignment.index
    ]
    ordered = [*hunt.dealt[:1], *mine[: limit // 2], *hunt.dealt[1:], *mine[limit // 2 :]]
    return [of_pool(image) for image in ordered[:limit]]


async def _search(consultation: Consultation, equipment: Equipment, query: str, limit: int) -> list[Hit]:
    """By words, and by meaning where the pool's captions are embedded."""
    pool = equipment.pool
    vector = await consultation.embed(query) if pool.num_vectors else None
    try:
        # Vectors of a large pool take a while, and leases are made many at a time.
        return await asyncio.to_thread(pool.search, query, limit=limit, vector=vector)
    except Rejected as error:
        raise AgentFailed(Role.EMBED, "rejected", str(error)) from error


async def _of_web(equipment: Equipment, hunt: Hunt, blueprint: Blueprint, *, has_other: bool) -> list[Source]:
    if equipment.web is None or not blueprint.web_query:
        return []
    try:
        return await equipment.web.find(
            blueprint.web_query, list_id=hunt.assignment.list_id, limit=equipment.max_options, licences=hunt.licences
        )
    except Retryable as error:
        if not has_other:
            raise
        # The pool had its turn, so this is one candidate less, and no reason to hold up the others.
        raise AgentFailed(Role.SELECT, "search_away", str(error)) from error


async def _thumbnail(equipment: Equipment, source: Source) -> bytes:
    if source.thumbnail is not None:
        return await equipment.artifacts.read_bytes(source.thumbnail)
    return await thumbnail_in_thread(await equipment.artifacts.read_bytes(source.image))
