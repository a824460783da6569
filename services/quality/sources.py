"""Where found images come from: licences that may enter a dataset, and the share that one domain or one image may supply. Pure.

Accepted samples of the same iteration count, whatever lease or cell they were made for. An image counts with its near-copies: the same
source, however it was edited, or pictures that look the same.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.quality.refusal import Refusal
from shared.domain import RejectionReason
from shared.images.perceptual_hash import NEAR_BITS, hamming
from shared.run_spec import RunSpec


@dataclass(frozen=True, slots=True)
class SourceMark:
    """Where a sample's image comes from, as far as shares are concerned."""

    domain: str
    """Empty where no share is counted: the image is of the operator's own pool."""
    image_sha256: str
    """Of the image as it was taken in, before edits."""
    image_hash: int
    """Perceptual hash of the sample's image, 64 bits."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How many accepted samples of an iteration may come from one domain and from one image; each at least 1."""

    per_domain: int
    per_image: int


def shares_of(spec: RunSpec) -> Shares:
    """What a run's caps mean in samples."""

    def most(share: float) -> int:
        return max(1, math.floor(share * spec.planning.num_samples + 1e-9))

    return Shares(most(spec.quality.max_domain_share), most(spec.quality.max_image_share))


def check_licence(licence: str, allowed: Sequence[str]) -> Refusal | None:
    """Whether a found image may enter a dataset: by a licence that is stated and, where some are named, by one of these.

    Args:
        licence: as its source states it.
        allowed: names, compared without case; a `*` at the end stands for any ending. None named: every stated licence.
    """
    if not licence:
        return Refusal(RejectionReason.LICENCE, "its source states no licence")
    if not allowed or any(_matches(licence.casefold(), pattern.strip().casefold()) for pattern in allowed):
        return None
    return Refusal(RejectionReason.LICENCE, f"{licence!r} is none of the licences that the run allows ({', '.join(allowed)})")


def _matches(licence: str, pattern: str) -> bool:
    return licence.startswith(pattern[:-1]) if pattern.endswith("*") else licence == pattern


class Representation:
    """How often each domain and each image stand among accepted samples."""

    def __init__(self, marks: Iterable[SourceMark] = ()) -> None:
        self._marks: list[SourceMark] = []
        self._domains: Counter[str] = Counter()
        for mark in marks:
            self.add(mark)

    def add(self, mark: SourceMark) -> None:
        """Counts one more sample."""
        self._marks.append(mark)
        self._domains[mark.domain] += 1

    def check(self, mark: SourceMark, shares: Shares, *, beside: Sequence[SourceMark] = ()) -> Refusal | None:
        """Whether one more sample stays within the shares; `beside` are samples that count as well and are not in here."""
        num_of_domain = self._domains[mark.domain] + sum(each.domain == mark.domain for each in beside)
        if mark.domain and num_of_domain >= shares.per_domain:
            return _over(f"{num_of_domain} accepted samples come from {mark.domain}, and {shares.per_domain} may")
        num_of_image = sum(_is_same_image(mark, each) for group in (self._marks, beside) for each in group)
        if num_of_image >= shares.per_image:
            return _over(f"{num_of_image} accepted samples show this image or a near-copy, and {shares.per_image} may")
        return None


def _over(detail: str) -> Refusal:
    return Refusal(RejectionReason.OVER_REPRESENTED, detail)


def _is_same_image(first: SourceMark, second: SourceMark) -> bool:
    return first.image_sha256 == second.image_sha256 or hamming(first.image_hash, second.image_hash) <= NEAR_BITS
