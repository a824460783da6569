"""Where a candidate comes from: seed, source, edits, models, calls and their cost, as JSON for quality and the dataset's readers."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from services.generators.agentic.agents.blueprint import Blueprint
from services.generators.agentic.agents.consultation import CallRecord
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.crafting import spent_by_role
from services.generators.agentic.source import Source

KIND = "agentic"
VERSION = "1.0.0"
"""Raise it with any change of prompts, tools or the order of calls."""


def write_provenance(
    assignment: Assignment,
    source: Source,
    *,
    edits: Sequence[dict[str, Any]],
    calls: Sequence[CallRecord],
    blueprint: Blueprint | None,
    pasted: Sequence[Source] = (),
) -> str:
    """The provenance of a candidate.

    `edits` replay from the source's image to the candidate's, see `services.generators.agentic.tools.edits`. `pasted` are the sources of
    other images that a part was taken from: their authors are to be named as well. Neither keys nor endpoints are in it.
    """
    told = {
        "generator": {"kind": KIND, "version": VERSION},
        "seed": assignment.seed,
        "index": assignment.index,
        "difficulty": assignment.difficulty,
        "licence": source.licence,
        "task": assignment.task_name,
        "source": source.record,
        "edits": list(edits),
        "pasted": [other.record for other in pasted],
        "models": {call.role.value: call.model for call in calls},
        "spent": [_plain_spend(asdict(spend)) for spend in spent_by_role(call.spent for call in calls)],
        "calls": [{"role": call.role.value, "digest": call.digest, "model": call.model, "is_cached": call.is_cached} for call in calls],
        "blueprint": blueprint.model_dump() if blueprint is not None else {},
    }
    return json.dumps(told, separators=(",", ":"))


def _plain_spend(spend: dict[str, Any]) -> dict[str, Any]:
    """Without what a newer version's message carried along."""
    return {name: value for name, value in spend.items() if name != "unknown_fields"}
