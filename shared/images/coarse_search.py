"""Which of many known images may be copies of a query, by a look at 4 × 4 and 8 × 8 cells of brightness.

Every known image is compared with variants of the query, few of them on the coarser grid and all on the finer one: masked squared
distances are two matrix products. What is near is compared once more, with the mistake of the best window taken out to first order, and
by two measures: over all cells, which is small for copies, and without the worst few, which is small for copies edited in one place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from shared.images.decoding import Pixels
from shared.images.grids import GRID, Flags, Floats, coarser
from shared.images.windows import FEW, bank, slopes_of

FIRST, SECOND = 4, 8
MAX_FIRST_DISTANCE, MAX_FIRST_DISTANCE_EDITED = 160.0, 300.0
"""Mean squared differences over the 4 × 4 grid, of 255², in the window that fits best; edits of 5 % stay below the second one."""
MAX_SECOND_DISTANCE, MAX_SECOND_DISTANCE_EDITED = 320.0, 1200.0
"""The same over the 8 × 8 grid."""
MAX_DIFFERENCE = 8.5
"""Largest difference of brightness over either grid in an uncropped copy, of 255."""
MAX_KEPT = 768
"""Known images that get the second look."""
_CHUNK = 4096
_NUM_TRIMMED = 6
_NUM_VARIANTS = 3
_SLACK = 64.0
"""A window's mistake is held to about a quarter of a cell, by this weight beside the squared slopes."""

Rows = npt.NDArray[np.int64]
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Found:
    """Known images by their numbers, the variants that fit each best, and two root mean squared differences of the best one, of 255."""

    rows: Rows
    variants: npt.NDArray[np.int64]
    """Rows × 3, best first."""
    all_cells: Floats
    most_cells: Floats

    def take(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Found":
        """Some of them."""
        return Found(self.rows[which], self.variants[which], self.all_cells[which], self.most_cells[which])


NOTHING = Found(np.empty(0, np.int64), np.empty((0, 3), np.int64), np.empty(0, np.float32), np.empty(0, np.float32))


def doubled(rows: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """The rows with room for as many more, which takes no memory before it is written to."""
    grown = np.empty((2 * len(rows), *rows.shape[1:]), dtype=rows.dtype)
    grown[: len(rows)] = rows
    return grown


def coarse_luma(cells: Pixels, num_cells: int) -> Floats:
    """Brightness of a 32 × 32 × 3 grid over fewer cells, as a vector."""
    return coarser(cells[..., 0].astype(np.float32), num_cells)


@lru_cache(maxsize=64)
def variants_of(cells: bytes, num_cells: int, channel: int = 0) -> Floats:
    """One channel of a 32 × 32 × 3 grid in every variant, over fewer cells; kept for the next index that is asked."""
    plane = np.frombuffer(cells, dtype=np.uint8).reshape(GRID, GRID, 3)[..., channel].astype(np.float32)
    return bank(num_cells).variants(plane)


@lru_cache(maxsize=16)
def _first_terms(cells: bytes) -> tuple[Floats, Floats]:
    """What the squared distance from any known image is made of: factors of its cells and their squares, and a constant."""
    variants, first = variants_of(cells, FIRST)[FEW], bank(FIRST)
    scale: Floats = np.float32(1) / first.num_covered[FEW, None]
    return np.concatenate([-2 * variants, first.mask[FEW]], axis=1) * scale, (variants * variants).sum(axis=1, keepdims=True) * scale


class CoarseSearch:
    """The coarse grids of known images, in the order in which they were added."""

    def __init__(self) -> None:
        self._num = 0
        self._first = np.empty((16, 2 * FIRST * FIRST), dtype=np.float32)
        self._second = np.empty((16, SECOND * SECOND), dtype=np.uint8)

    def __len__(self) -> int:
        return self._num

    @property
    def num_bytes(self) -> int:
        """Memory of what is kept, without what is held ready for more."""
        return self._num * (self._first.itemsize * self._first.shape[1] + self._second.shape[1])

    def add(self, cells: Pixels) -> None:
        """Remembers an image by its 32 × 32 × 3 grid."""
        if self._num == len(self._first):
            self._first, self._second = doubled(self._first), doubled(self._second)
        first = coarse_luma(cells, FIRST)
        self._first[self._num] = np.concatenate([first, first * first])
        self._second[self._num] = np.rint(coarse_luma(cells, SECOND))
        self._num += 1

    def uncropped(self, cells: Pixels, rows: Rows | None) -> Rows:
        """The known images, or those of some rows, whose coarse cells all differ by little from those of a 32 × 32 × 3 grid."""
        which: slice | Rows = slice(self._num) if rows is None else rows
        first = np.abs(self._first[which, : FIRST * FIRST] - coarse_luma(cells, FIRST)).max(axis=1, initial=0)
        near = np.flatnonzero(first <= MAX_DIFFERENCE)
        near = near if rows is None else rows[near]
        second = np.abs(self._second[near] - coarse_luma(cells, SECOND)).max(axis=1, initial=0)
        found: Rows = near[second <= MAX_DIFFERENCE]
        return found

    def search(self, cells: bytes, rows: Rows | None = None, edited: Flags | None = None) -> Found:
        """The known images that may be copies of the one with this grid.

        Args:
            cells: 32 × 32 × 3 bytes.
            rows: looks only at these; at all of them where it is None.
            edited: for every known image whether edited copies are looked for as well; for all of them where it is None.
        """
        near = [part for part in self._near(cells, rows, edited) if len(part[0])]
        if not near:
            return NOTHING
        found, distances = (np.concatenate(parts) for parts in zip(*near, strict=True))
        if len(found) > MAX_KEPT:
            found = found[np.sort(np.argsort(distances, kind="stable")[:MAX_KEPT])]
        return self._look_again(cells, found, edited)

    def _near(self, cells: bytes, rows: Rows | None, edited: Flags | None) -> Iterator[tuple[Rows, Floats]]:
        factors, constant = _first_terms(cells)
        num = self._num if rows is None else len(rows)
        for start in range(0, num, _CHUNK):
            which: slice | Rows = slice(start, min(start + _CHUNK, num)) if rows is None else rows[start : start + _CHUNK]
            distances = factors @ self._first[which].T
            distances += constant
            least = distances.min(axis=0)
            limits = MAX_FIRST_DISTANCE_EDITED if edited is None else _limits(edited[which], MAX_FIRST_DISTANCE, MAX_FIRST_DISTANCE_EDITED)
            near = np.flatnonzero(least <= limits)
            yield (near + which.start if isinstance(which, slice) else which[near]), least[near]

    def _look_again(self, cells: bytes, rows: Rows, edited: Flags | None) -> Found:
        variants, second = variants_of(cells, SECOND), bank(SECOND)
        known = self._second[rows].astype(np.float32)
        distances = second.mask @ (known * known).T - 2 * (variants @ known.T)
        distances += (variants * variants).sum(axis=1, keepdims=True)
        distances /= second.num_covered[:, None]
        may_be_edited = np.ones(len(rows), dtype=np.bool_) if edited is None else edited[rows]
        near = np.flatnonzero(distances.min(axis=0) <= _limits(may_be_edited, MAX_SECOND_DISTANCE, MAX_SECOND_DISTANCE_EDITED))
        if not len(near):
            return NOTHING
        rows, known, distances = rows[near], known[near], distances[:, near]
        best = _least(distances, _NUM_VARIANTS)
        left = np.sort(np.square(moved_residuals(variants, SECOND, best[:, 0], known)), axis=1)
        num = second.num_covered[best[:, 0]]
        most = left[:, :-_NUM_TRIMMED].sum(axis=1) / (num - _NUM_TRIMMED)
        return Found(rows, best, np.sqrt(left.sum(axis=1) / num), np.sqrt(most))


def moved_residuals(variants: Floats, num_cells: int, chosen: npt.NDArray[np.int64], known: Floats) -> Floats:
    """What is left of the differences from known grids when each window's sides are moved to fit best, to first order.

    Args:
        variants: of the query, variants × cells.
        num_cells: a side.
        chosen: for each of the known grids the variant it is compared with.
        known: n × cells.

    Returns:
        n × cells; 0 where the query covers nothing.
    """
    used, which = np.unique(chosen, return_inverse=True)
    mask = bank(num_cells).mask[used]
    slopes = slopes_of(variants[used].reshape(-1, num_cells, num_cells)) * mask[:, :, None]
    transposed = slopes.transpose(0, 2, 1)
    slack = _SLACK * (num_cells / SECOND) ** 2 * np.eye(4, dtype=np.float32)
    inverse = np.linalg.inv(np.matmul(transposed, slopes) + slack)
    residuals = (variants[chosen] - known) * mask[which]
    moves = -np.matmul(inverse[which], np.matmul(transposed[which], residuals[:, :, None]))
    left: Floats = residuals + np.matmul(slopes[which], moves)[:, :, 0]
    return left


def _least(distances: Floats, num: int) -> npt.NDArray[np.int64]:
    """The rows of the least distances of each column, columns × num, least first."""
    least = np.sort(np.argpartition(distances, num, axis=0)[:num], axis=0)
    order = np.argsort(np.take_along_axis(distances, least, axis=0), axis=0, kind="stable")
    return np.take_along_axis(least, order, axis=0).T


def _limits(may_be_edited: Flags, copies: float, edited: float) -> Floats:
    """The largest distance for each image."""
    return np.where(may_be_edited, np.float32(edited), np.float32(copies))
