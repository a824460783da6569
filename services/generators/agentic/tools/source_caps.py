"""How much of a list may come from one place: one domain, or one cluster of images that look alike. Data of one hand teaches its habits."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.generators.agentic.tools.refusals import RefusalReason, Refused


@dataclass(frozen=True, slots=True)
class SourceMark:
    """What counts of a source."""

    domain: str
    """Registrable; sources without one are not counted by domain."""
    perceptual_hash: int
    """64 bit."""


@dataclass(frozen=True, slots=True)
class SourceCaps:
    """How many sources of a list may be of one domain, and of one cluster."""

    max_per_domain: int
    max_per_cluster: int
    max_hamming: int = 10
    """Differing bits up to which two images are of one cluster, of 64."""


def caps_of(num_candidates: int, *, max_domain_share: float, max_image_share: float, max_hamming: int = 10) -> SourceCaps:
    """The caps of a list from a run's shares; one of each is always allowed."""
    return SourceCaps(
        max_per_domain=max(1, int(num_candidates * max_domain_share)),
        max_per_cluster=max(1, int(num_candidates * max_image_share)),
        max_hamming=max_hamming,
    )


def check_caps(mark: SourceMark, taken: Sequence[SourceMark], caps: SourceCaps) -> None:
    """Raises Refused where a source would be one too many beside those that are taken."""
    of_domain = sum(bool(mark.domain) and one.domain == mark.domain for one in taken)
    if of_domain >= caps.max_per_domain:
        raise Refused(RefusalReason.DOMAIN_CAP, f"{of_domain} of this list come from {mark.domain} already")
    of_cluster = sum((one.perceptual_hash ^ mark.perceptual_hash).bit_count() <= caps.max_hamming for one in taken)
    if of_cluster >= caps.max_per_cluster:
        raise Refused(RefusalReason.CLUSTER_CAP, f"{of_cluster} of this list look the same already")
