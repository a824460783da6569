"""The windows in which a cropped or mirrored copy is first looked for, on grids so coarse that a few windows stand for all.

Either image may be the cropped one. Where the query is the larger one, the other is looked for in a window *inside* it; where it is the
smaller one, it is laid into a window *outside* of which nothing is known. Both are windows of the query, so what is known already needs
no variants and stays as small as it is.
"""

from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from shared.images.grids import GRID, Floats, Windows, weights

STEP = 0.05
"""Between windows, as a share of the image: a fifth of a cell of the 4 × 4 grid."""
MAX_CROPPED = 0.10
"""Share of each dimension that may be cut away."""
_MIN_COVERAGE = 0.8
"""Cells of which the query covers less are left out."""

_NUM_STEPS = round(MAX_CROPPED / STEP)
_INSIDE = [(first * STEP, 1 - last * STEP) for first, last in product(range(_NUM_STEPS + 1), repeat=2) if first + last <= _NUM_STEPS]
_OUTSIDE = [(-start / (stop - start), (1 - start) / (stop - start)) for start, stop in _INSIDE]
_AXIS = np.array(_INSIDE + _OUTSIDE[1:])
_WITHIN, _BEYOND = range(len(_INSIDE)), (0, *range(len(_INSIDE), len(_AXIS)))
_PLACES = sorted({*product(_WITHIN, repeat=2), *product(_BEYOND, repeat=2)})
_ROWS, _COLUMNS = (np.array(axis) for axis in zip(*_PLACES, strict=True))

_UPRIGHT = np.concatenate([_AXIS[_COLUMNS], _AXIS[_ROWS]], axis=1)
VARIANTS: Windows = np.concatenate([_UPRIGHT, np.stack([1 - _UPRIGHT[:, 0], 1 - _UPRIGHT[:, 1], *_UPRIGHT[:, 2:].T], axis=1)])
"""Every window in which a query is looked at, upright and mirrored; the first of each half is the whole image."""
WHOLE_UPRIGHT, WHOLE_MIRRORED = 0, len(_UPRIGHT)


def _few() -> npt.NDArray[np.int64]:
    sides = np.abs(VARIANTS[:, 1::2] - VARIANTS[:, ::2])
    longest = np.maximum(sides, 1 / sides)
    is_whole, is_smallest = np.isclose(longest, 1), np.isclose(longest, 1 / (1 - MAX_CROPPED))
    return np.flatnonzero((is_whole | is_smallest).all(axis=1))


FEW = _few()
"""Numbers of variants that stand for all on the coarsest grid: each side whole, or cropped as far as may be."""


MAX_BEYOND = 0.13
"""How far a window's side may lie from the image's own, as a share of the image."""


def moved(windows: Windows, moves: npt.NDArray[np.floating], num_cells: int) -> Windows:
    """Windows with their sides moved by cells of a grid, as far as they may; n × 4 each."""
    steps = np.repeat((windows[:, 1::2] - windows[:, ::2]) / num_cells, 2, axis=1)
    home = np.round(windows)
    return home + np.clip(windows + moves * steps - home, -MAX_BEYOND, MAX_BEYOND)


def slopes_of(grids: Floats) -> Floats:
    """How each cell changes when the window's left, right, top and bottom move by one cell, n × cells × 4."""
    num_cells = grids.shape[-1]
    across = ((np.arange(num_cells) + 0.5) / num_cells).astype(np.float32)
    down = across[:, None]
    by_row, by_column = _gradient(grids.transpose(0, 2, 1)).transpose(0, 2, 1), _gradient(grids)
    slopes = np.empty((len(grids), num_cells, num_cells, 4), dtype=np.float32)
    slopes[..., 0], slopes[..., 1] = by_column * (1 - across), by_column * across
    slopes[..., 2], slopes[..., 3] = by_row * (1 - down), by_row * down
    return slopes.reshape(len(grids), -1, 4)


def _gradient(grids: Floats) -> Floats:
    """Slopes along the last axis, as `np.gradient` gives them in twice the time."""
    slopes = np.empty_like(grids)
    slopes[..., 1:-1] = (grids[..., 2:] - grids[..., :-2]) / 2
    slopes[..., 0], slopes[..., -1] = grids[..., 1] - grids[..., 0], grids[..., -1] - grids[..., -2]
    return slopes


class Bank:
    """Makes the variants of a query on a coarse grid."""

    def __init__(self, num_cells: int) -> None:
        """Prepares the weights for a grid of num_cells a side."""
        self.num_cells = num_cells
        shares, coverage = weights(GRID, num_cells, _AXIS[:, 0], _AXIS[:, 1])
        self._shares: Floats = shares.reshape(-1, GRID)
        counts = (coverage > _MIN_COVERAGE).astype(np.float32)
        upright = counts[_ROWS][:, :, None] * counts[_COLUMNS][:, None, :]
        mask = np.concatenate([upright, upright]).reshape(len(VARIANTS), -1)
        self.mask: Floats = np.ascontiguousarray(mask)
        """Variants × cells: 1 where the query covers a cell."""
        self.num_covered: Floats = mask.sum(axis=1)

    def variants(self, luma: Floats) -> Floats:
        """Variants × cells of a 32 × 32 grid; 0 where nothing is covered."""
        cells, axis = self.num_cells, len(_AXIS)
        halves = list[Floats]()
        for shares_across in (self._shares, self._shares[:, ::-1]):
            grids: Floats = np.matmul(np.matmul(self._shares, luma), shares_across.T).reshape(axis, cells, axis, cells)
            halves.append(grids[_ROWS, :, _COLUMNS])
        return np.concatenate(halves).reshape(len(VARIANTS), -1) * self.mask


@lru_cache(maxsize=4)
def bank(num_cells: int) -> Bank:
    """The bank of a grid's size, made once."""
    return Bank(num_cells)
