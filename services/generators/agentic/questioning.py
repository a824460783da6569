"""The last steps of every candidate: a question with the image in view, a blind reader, one revision, provenance."""

from collections.abc import Sequence
from typing import Any

from services.generators.agentic.agents.ask import AskTask, Objection, ask
from services.generators.agentic.agents.blueprint import Blueprint
from services.generators.agentic.agents.consultation import AgentFailed, Consultation
from services.generators.agentic.agents.items import Item
from services.generators.agentic.agents.solve import Solution, solve
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.crafting import Crafted
from services.generators.agentic.provenance import write_provenance
from services.generators.agentic.source import Source
from services.generators.candidate_identity import candidate_id
from shared.answers import grade
from shared.domain import Candidate
from shared.llm import Role


async def agreed_item(consultation: Consultation, task: AskTask) -> Item:
    """A question that another model, which sees image and question alone, answers alike; its author may revise it once.

    Raises:
        AgentFailed: the two do not come to agree, or one of them fails.
    """
    item = await ask(consultation, task)
    solution = await _blind(consultation, task.image, item, "first")
    if not _agrees(item, solution):
        item = await ask(consultation, task, Objection(item, solution.answer if solution.is_answerable else ""))
        solution = await _blind(consultation, task.image, item, "revision")
    if not _agrees(item, solution):
        said = solution.answer if solution.is_answerable else "nothing certain"
        raise AgentFailed(Role.SOLVE, "disagreement", f"the asker says {item.answer!r}, the blind reader {said!r}")
    return item


def as_crafted(
    assignment: Assignment,
    consultation: Consultation,
    item: Item,
    image: bytes,
    source: Source,
    *,
    edits: Sequence[dict[str, Any]] = (),
    pasted: Sequence[Source] = (),
    blueprint: Blueprint | None = None,
) -> Crafted:
    """The finished candidate; its source is kept with the lease's manifest."""
    provenance = write_provenance(assignment, source, edits=edits, calls=consultation.records, blueprint=blueprint, pasted=pasted)
    candidate = Candidate(
        candidate_id=candidate_id(image, item.question, item.choices, item.answer),
        cell=assignment.cell,
        image=image,
        question=item.question,
        choices=item.choices,
        answer=item.answer,
        tolerance=item.tolerance,
        scene="",
        provenance=provenance,
    )
    return Crafted(candidate, {f"sources/{source.image.sha256}": source.image})


async def _blind(consultation: Consultation, image: bytes, item: Item, label: str) -> Solution:
    return await solve(consultation, image, item.question, item.question_type, item.choices, label=label)


def _agrees(item: Item, solution: Solution) -> bool:
    if not solution.is_answerable:
        return False
    return grade(
        solution.answer, question_type=item.question_type, answer=item.answer, choices=item.choices, tolerance=item.tolerance
    ).is_correct
