"""Images of the pool for a list of candidates: those that fit the cell first, spread over the whole pool.

The category is decided before the image is chosen, so no candidate is made and then thrown away for being of another cell. A cell goes
through its images in one order for the whole run, each lease from where the one before it ended: two leases come to the same images, and so
to the same questions, only once all were used.
"""

import hashlib
import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from services.generators.agentic.categories import WORDS
from services.generators.agentic.claims import is_free
from services.generators.agentic.licences import is_allowed
from services.generators.agentic.source import of_pool
from services.generators.agentic.tools.source_caps import SourceCaps, SourceMark
from services.generators.agentic.turn import Turn
from shared.domain import ImageCategory
from shared.pool import Pool, PoolImage

NUM_SPARES = 8
"""Images that are at hand for each candidate."""
_DRAWN_PER_WANTED = 4
"""Images that are drawn for each that is dealt: some look alike, some have no licence that the run lets in."""
_NUM_FOUND = 500
"""Of the images whose captions hold the category's words, so many of the best are drawn from."""


def deal_images(
    pool: Pool, category: ImageCategory, *, turn: Turn, seed: int, num_candidates: int, licences: Sequence[str], caps: SourceCaps
) -> list[list[PoolImage]]:
    """For each candidate its images, the most fitting first; those that look alike are dealt as often as the caps allow.

    Images that somebody put into the category come first, then those whose captions hold its words, then those of which nobody said
    anything. Images that somebody put into another category are never dealt.
    """
    num_wanted = num_candidates * NUM_SPARES
    kept: dict[str, PoolImage] = {}
    marks: list[SourceMark] = []
    tiers = _tiers(pool, category, seed, _DRAWN_PER_WANTED * num_wanted)
    while len(kept) < num_wanted and (tier := next(tiers, None)) is not None:
        for image in _from_turn(_alternating(_drawn(tier, turn.order, _DRAWN_PER_WANTED * num_wanted)), turn):
            if len(kept) == num_wanted:
                break
            mark = of_pool(image).mark
            if image.image_sha256 not in kept and is_allowed(image.licence, licences) and is_free(mark, marks, caps):
                kept[image.image_sha256] = image
                marks.append(mark)
    dealt = list(kept.values())
    return [dealt[index::num_candidates] for index in range(num_candidates)]


def _tiers(pool: Pool, category: ImageCategory, seed: int, num_drawn: int) -> Iterator[Iterable[PoolImage]]:
    yield pool.of_category(category, limit=num_drawn, seed=seed)
    yield [hit.image for hit in pool.search(WORDS[category].search, limit=_NUM_FOUND) if hit.image.category is None]
    yield pool.of_category(None, limit=num_drawn, seed=seed)


def _drawn(images: Iterable[PoolImage], order: str, limit: int) -> list[PoolImage]:
    """The first images in an order of their own."""
    return heapq.nsmallest(limit, images, key=lambda image: _rank(image, order))


def _from_turn(images: Iterable[PoolImage], turn: Turn) -> list[PoolImage]:
    """All images, from the turn's place on and around."""
    ordered = list(images)
    at = turn.offset(len(ordered))
    return ordered[at:] + ordered[:at]


def _rank(image: PoolImage, seed: object) -> bytes:
    return hashlib.sha256(f"{seed}/{image.image_sha256}".encode()).digest()


def _alternating(images: Iterable[PoolImage]) -> Iterator[PoolImage]:
    """The images, one of each domain in turn."""
    by_domain: dict[str, deque[PoolImage]] = defaultdict(deque)
    for image in images:
        by_domain[image.domain].append(image)
    while by_domain:
        for domain in list(by_domain):
            yield by_domain[domain].popleft()
            if not by_domain[domain]:
                del by_domain[domain]


def share_of(image: PoolImage, seed: int, num_candidates: int) -> int:
    """Which candidate of a list a found image is for, so that two that search alike do not come to the same images."""
    return int.from_bytes(_rank(image, seed)[:8], "big") % num_candidates
