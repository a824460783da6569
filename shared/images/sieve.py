"""Which of the images that a coarse look found are worth laying over the query, and from which windows to begin.

Brightness over 16 × 16 cells tells documents of one layout apart, colour over 8 × 8 cells tells drawings of one template apart. An edit
or a pattern that repeats may mislead the coarse look to a wrong window, so several are tried for each image, the whole ones among them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.images.coarse_search import Found, Rows, moved_residuals, variants_of
from shared.images.decoding import Pixels
from shared.images.grids import Floats, coarser
from shared.images.windows import WHOLE_MIRRORED, WHOLE_UPRIGHT, bank

FINE, COLOR = 16, 8
MAX_LEFT = 7.5
"""Mean difference of brightness over the cells that agree best, of 255."""
MAX_COLOR_LEFT = 7.5
"""Mean difference of colour, of 255."""
SHARE_KEPT = 0.85
"""Cells that agree best; the others may be edited."""
_NUM_TRIED = 24
"""Images, the nearest ones, for which more than the best window is tried."""


@dataclass(frozen=True, slots=True)
class Starts:
    """Known images by their numbers, and for each the variant from which to begin; one image may stand there several times."""

    rows: Rows
    variants: npt.NDArray[np.int64]


NO_STARTS = Starts(np.empty(0, np.int64), np.empty(0, np.int64))


def sieve(cells: bytes, found: Found, luma: Floats, colors: Pixels, num_kept: int) -> Starts:
    """The starts worth going on with, at most so many.

    Args:
        cells: the query's 32 × 32 × 3 grid.
        found: nearest first.
        luma: of the known images that were found, n × 32 × 32.
        colors: of the known images that were found, n × 2 × 16 × 16.
        num_kept: how many to keep.
    """
    at, variants = _tried(found)
    known = coarser(luma, FINE)
    left = np.abs(moved_residuals(variants_of(cells, FINE), FINE, variants, known[at]))
    covered = bank(FINE).mask[variants] > 0
    lefts = mean_of_least(np.where(covered, left, np.inf), covered.sum(axis=1))
    worth = np.flatnonzero((lefts <= MAX_LEFT) & (_color_distances(cells, variants, colors[at]) <= MAX_COLOR_LEFT))
    order = worth[np.argsort(lefts[worth], kind="stable")]
    if len(order) > num_kept:
        # The finer look mistakes repeated patterns now and then, so the nearest by the coarser one stay as well.
        nearest = worth[: num_kept // 3]
        order = np.union1d(nearest, order[: num_kept - len(nearest)])
    return Starts(found.rows[at[order]], variants[order])


def mean_of_least(differences: Floats, num_counted: npt.NDArray[np.int64]) -> Floats:
    """The mean of the smallest differences, n × cells; those that do not count are infinite."""
    kept = np.maximum(1, (num_counted * SHARE_KEPT).astype(np.int64))
    totals = np.cumsum(np.sort(differences, axis=1), axis=1)
    means: Floats = (totals[np.arange(len(kept)), kept - 1] / kept).astype(np.float32)
    return means


def _tried(found: Found) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Places in `found` and variants, best first: of the nearest images all that fit well and both whole ones."""
    num = min(len(found.rows), _NUM_TRIED)
    wholes = np.tile([WHOLE_UPRIGHT, WHOLE_MIRRORED], (num, 1))
    near = np.concatenate([found.variants[:num], wholes], axis=1)
    pairs = [(at, variant) for at, variants in enumerate(near.tolist()) for variant in dict.fromkeys(variants)]
    pairs += [(at, int(found.variants[at, 0])) for at in range(num, len(found.rows))]
    places, variants = np.array(pairs, dtype=np.int64).T
    return places, variants


def _color_distances(cells: bytes, variants: npt.NDArray[np.int64], colors: Pixels) -> Floats:
    covered = bank(COLOR).mask[variants]
    known = coarser(colors.astype(np.float32), COLOR)
    both = np.stack([np.abs(variants_of(cells, COLOR, channel)[variants] - known[:, channel - 1]) for channel in (1, 2)])
    distances: Floats = (both.max(axis=0) * covered).sum(axis=1) / covered.sum(axis=1)
    return distances
