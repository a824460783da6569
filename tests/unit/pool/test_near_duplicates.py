"""Clusters of nearly equal hashes: the same as comparing every pair finds, and fast where there are many."""

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.images.perceptual_hash import hamming
from shared.pool.near_duplicates import near_duplicate_clusters


def by_every_pair(hashes: list[int], max_bits: int) -> tuple[int, int]:
    groups = [{at} for at in range(len(hashes))]
    for first in range(len(hashes)):
        for second in range(first):
            if hamming(hashes[first], hashes[second]) <= max_bits:
                one, other = (next(group for group in groups if at in group) for at in (first, second))
                if one is not other:
                    one |= other
                    groups.remove(other)
    shared = [len(group) for group in groups if len(group) > 1]
    return len(shared), sum(shared)


@st.composite
def crowded(draw: st.DrawFn) -> list[int]:
    """Hashes of which many lie close to others."""
    hashes = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6))
    for _ in range(draw(st.integers(0, 25))):
        flips = draw(st.lists(st.integers(0, 63), max_size=7))
        value = draw(st.sampled_from(hashes))
        for bit in flips:
            value ^= 1 << bit
        hashes.append(value)
    return hashes


@given(crowded(), st.integers(0, 7))
def test_clusters_are_those_that_every_pair_makes(hashes: list[int], max_bits: int) -> None:
    found = near_duplicate_clusters(np.array(hashes, dtype=np.uint64), max_bits=max_bits)
    assert (found.num_clusters, found.num_images) == by_every_pair(hashes, max_bits)


def test_no_images_make_no_clusters() -> None:
    assert near_duplicate_clusters(np.zeros(0, dtype=np.uint64)).num_clusters == 0


def test_many_copies_of_one_image_are_one_cluster_and_cost_nothing() -> None:
    rng = np.random.default_rng(1)
    others = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
    hashes = np.concatenate([np.zeros(200_000, dtype=np.uint64), others])
    began = time.perf_counter()
    found = near_duplicate_clusters(hashes)
    assert (found.num_clusters, found.num_images) == (1, 200_000)
    assert time.perf_counter() - began < 5
