"""Groups of images with nearly equal perceptual hashes, found without comparing every pair."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from shared.images.perceptual_hash import NEAR_BITS, NUM_BITS, Hashes


@dataclass(frozen=True, slots=True)
class Clusters:
    """How many groups of two and more there are, and how many images stand in them."""

    num_clusters: int
    num_images: int


def near_duplicate_clusters(hashes: Hashes, *, max_bits: int = NEAR_BITS) -> Clusters:
    """The groups that chains of hashes connect which differ in at most `max_bits` of their 64 bits.

    Two such hashes agree wholly in one of `max_bits` + 1 bands of bits, so only hashes that share a band are compared (multi-index hashing:
    Norouzi, Punjani and Fleet, 2012).
    """
    distinct, counts = np.unique(hashes, return_counts=True)
    parents = np.arange(len(distinct))
    edges = np.linspace(0, NUM_BITS, max_bits + 2).astype(int)
    for low, high in pairwise(edges):
        for first, second in _near_pairs(distinct, int(low), int(high - low), max_bits):
            parents[_root(parents, second)] = _root(parents, first)
    sizes: dict[int, int] = {}
    for at, count in enumerate(counts.tolist()):
        root = _root(parents, at)
        sizes[root] = sizes.get(root, 0) + count
    shared = [size for size in sizes.values() if size > 1]
    return Clusters(len(shared), sum(shared))


def _near_pairs(hashes: Hashes, shift: int, width: int, max_bits: int) -> list[tuple[int, int]]:
    """Pairs that share the band of `width` bits from `shift` on and differ in few bits elsewhere."""
    bands = (hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)
    order = np.argsort(bands, kind="stable")
    bands = bands[order]
    pairs: list[tuple[int, int]] = []
    active: npt.NDArray[np.intp] = np.arange(len(hashes))
    step = 0
    while len(active):
        step += 1
        active = active[active + step < len(hashes)]
        active = active[bands[active] == bands[active + step]]
        first, second = order[active], order[active + step]
        near = np.bitwise_count(hashes[first] ^ hashes[second]) <= max_bits
        pairs += zip(first[near].tolist(), second[near].tolist(), strict=True)
    return pairs


def _root(parents: npt.NDArray[np.intp], at: int) -> int:
    while parents[at] != at:
        parents[at] = parents[parents[at]]
        at = int(parents[at])
    return at
