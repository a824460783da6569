"""How a user's probes are divided into core, fresh and exam: by hash, within each cell, and never one image in two splits."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from shared.domain import Cell
from shared.tables import Probe

EXAM = "exam"
CORE = "core"
EXAM_SHARE = 0.4
CORE_SHARE = 0.4
"""The rest is fresh, spread over the evaluations."""


def fresh(iteration: int) -> str:
    """The name of the split that only one iteration's diagnosis sees."""
    return f"fresh-{iteration}"


def split_probes(probes: Sequence[Probe], *, seed: int, num_iterations: int) -> list[Probe]:
    """The same probes with their `split` set; the same input gives the same split, whatever the order of rows.

    Probes that share an image go together, so that no exam image is ever seen by a decision.
    """
    groups: dict[str, list[Probe]] = defaultdict(list)
    for probe in probes:
        groups[hashlib.sha256(probe.image).hexdigest()].append(probe)
    strata: dict[Cell, list[str]] = defaultdict(list)
    for digest, members in groups.items():
        strata[min(member.cell for member in members)].append(digest)
    split_of: dict[str, str] = {}
    for digests in strata.values():
        digests.sort(key=lambda digest: hashlib.sha256(f"{seed}/{digest}".encode()).digest())
        split_of.update(zip(digests, _assignment(len(digests), num_iterations), strict=True))
    return [replace(probe, split=split_of[hashlib.sha256(probe.image).hexdigest()]) for probe in probes]


def _assignment(num_groups: int, num_iterations: int) -> list[str]:
    """Splits for the hash-ordered groups of one stratum: at least one core, then at least one exam, then the shares."""
    num_exam = min(max(1, round(num_groups * EXAM_SHARE)), num_groups - 1)
    num_core = min(max(1, round(num_groups * CORE_SHARE)), num_groups - num_exam)
    num_fresh = num_groups - num_exam - num_core
    return [*[CORE] * num_core, *[EXAM] * num_exam, *[fresh(index % (num_iterations + 1)) for index in range(num_fresh)]]
