"""Where an image has detail, and whether two agree in it: two blue skies are alike, and that means nothing."""

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.images.grids import GRID, Flags, Floats

MIN_DETAILS = 32
"""Cells with detail, of 1,024, from which a likeness alone means something."""
MIN_AGREEMENT = 0.7
"""Share of the details, by their squares, that two images must have in common."""
MIN_RMS = 2.5
"""Weaker details, root mean square of 255, are noise and may disagree."""
_MIN_CURVATURE = 5.0
"""Of a cell with detail, of 255: by how much it departs from a slope through its neighbours."""
MIN_FILLED = 0.3
"""Share of the box around an edit that it fills. Nine of ten edits fill more than half; what tells two drawings is all over them."""
_BLOCK = 4

Counts = npt.NDArray[np.int64]


def is_detail(planes: Floats) -> Flags:
    """Cells that are no part of a slope, which any sky has, n × 32 × 32."""
    flags: Flags = np.zeros(planes.shape, dtype=np.bool_)
    middle = 2 * planes[:, 1:-1, 1:-1]
    across = np.abs(middle - planes[:, 1:-1, :-2] - planes[:, 1:-1, 2:])
    flags[:, 1:-1, 1:-1] = np.maximum(across, np.abs(middle - planes[:, :-2, 1:-1] - planes[:, 2:, 1:-1])) > _MIN_CURVATURE
    return flags


def agreement(known: Floats, differences: Floats, counted: Flags) -> tuple[Flags, Counts]:
    """Whether images may be the same for all that their details say, and in how many cells with detail they agree beyond doubt.

    Args:
        known: brightness of n images, n × 32 × 32.
        differences: of another image from them.
        counted: the cells that count.
    """
    strength, dissent = (np.square(_departures(planes) * counted).sum(axis=(1, 2)) for planes in (known, differences))
    agrees = dissent <= (1 - MIN_AGREEMENT) * strength
    is_faint = strength < MIN_RMS**2 * counted.sum(axis=(1, 2))
    return agrees | is_faint, np.where(agrees, (is_detail(known) & counted).sum(axis=(1, 2)), 0)


def spread(flags: Flags) -> Counts:
    """Blocks of 4 × 4 cells, of 64, in which more than one cell is set."""
    num: Counts = (_blocks(flags).sum(axis=(2, 4)) > 1).sum(axis=(1, 2))
    return num


def lie_together(flags: Flags) -> Flags:
    """Whether the cells that are set fill a good part of the box around them, n; those without a neighbour do not count."""
    height, width = flags.shape[1:]
    framed = np.pad(flags, ((0, 0), (1, 1), (1, 1)))
    around = sum(framed[:, y : y + height, x : x + width].astype(np.int64) for y in range(3) for x in range(3))
    touching: Flags = flags & (around > 1)
    tall, wide = _extent(touching, axis=2), _extent(touching, axis=1)
    filled: Flags = touching.sum(axis=(1, 2)) >= MIN_FILLED * tall * wide
    return filled


def _extent(flags: Flags, axis: int) -> Counts:
    """Rows or columns from the first with a cell that is set to the last, n; `axis` is the one that they run along."""
    lines = np.atleast_2d(flags.any(axis=axis))
    extent: Counts = np.where(lines.any(axis=1), lines.shape[1] - lines[:, ::-1].argmax(axis=1) - lines.argmax(axis=1), 0)
    return extent


def _departures(planes: Floats) -> Floats:
    """Cells without the means of their blocks."""
    blocks = _blocks(planes)
    departures: Floats = (blocks - blocks.mean(axis=(2, 4), keepdims=True)).reshape(-1, GRID, GRID)
    return departures


def _blocks(planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return planes.reshape(-1, GRID // _BLOCK, _BLOCK, GRID // _BLOCK, _BLOCK)
