"""Which accepted samples make the dataset, and in which order. Pure.

The order is that of the plan's leases, then that within each lease. A sample that an earlier lease brought already, pixel by pixel and
word by word, is left out. A short set stays short: nothing that was refused ever fills it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.domain import GeneratorIdentity
from shared.tables import Sample


@dataclass(frozen=True, slots=True)
class ReviewedLease:
    """A lease's accepted samples with their exact digests, and what became of the rest."""

    lease_id: str
    generator: GeneratorIdentity
    samples: tuple[Sample, ...]
    exact: Mapping[str, str]
    """Sample id to digest over pixels, question, choices and answer."""
    rejected: Mapping[str, int]
    """Reason to count."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A dataset in its final order, and how many samples were left out as copies across leases."""

    samples: tuple[Sample, ...]
    num_copies: int


def dataset_name(run_id: str, iteration: int) -> str:
    """The manifest of an iteration's dataset."""
    return f"runs/{run_id}/{iteration}/dataset"


def seal(leases: Sequence[ReviewedLease]) -> Sealed:
    """The samples of all leases in order, the first of equal ones kept."""
    seen: set[str] = set()
    samples = []
    for lease in leases:
        for sample in lease.samples:
            marks = {f"id {sample.sample_id}", f"content {lease.exact[sample.sample_id]}"}
            if seen.isdisjoint(marks):
                samples.append(sample)
            seen |= marks
    return Sealed(tuple(samples), sum(len(lease.samples) for lease in leases) - len(samples))
