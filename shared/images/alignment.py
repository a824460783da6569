"""Laying a query exactly over a known image: the window of a coarse look is moved until the two grids agree best.

Gauss and Newton's method in the four sides of the window, weighted so that cells which differ much (an edit, a watermark) hardly pull. All
windows of a query are moved together, since most of the time would go into the steps between the arithmetic.
"""

import numpy as np
import numpy.typing as npt

from shared.images.grids import GRID, Flags, Floats, Windows, grids_in
from shared.images.sieve import mean_of_least
from shared.images.windows import moved, slopes_of

MIN_COVERAGE = 0.97
"""Cells of which the query covers less do not count."""
_MAX_MOVE = 1.5
"""Cells by which a side moves in one step at most."""
_SLACK = 40.0
"""A move of a cell must be worth this much of squared slopes, so that windows of empty pictures stay where they are."""
_MIN_SCALE = 6.0
"""Differences of this size, of 255, still pull at half their weight."""
_DIAGONAL = _SLACK * np.eye(4)


def align(plane: Floats, known: Floats, windows: Windows, num_steps: int) -> tuple[Windows, Floats]:
    """Moves windows of a query's luma over known grids.

    Args:
        plane: the query's luma, height × width.
        known: n × 32 × 32.
        windows: n × 4, where to begin.
        num_steps: how often all are moved.

    Returns:
        The windows, and for each the mean difference, of 255, over the cells that agree best, as it would be after the last step.
    """
    left = np.zeros(len(windows), dtype=np.float32)
    for _ in range(num_steps):
        grids, coverage = grids_in(plane, windows)
        counts = (coverage > MIN_COVERAGE).reshape(len(windows), -1)
        moves, left = _moves(grids, (grids - known).reshape(counts.shape) * counts, counts)
        windows = moved(windows, moves, GRID)
    return windows, left


def _moves(grids: Floats, residuals: Floats, counts: Flags) -> tuple[npt.NDArray[np.float64], Floats]:
    """By how many cells each side has to move, and what difference is left then."""
    slopes = slopes_of(grids)
    scale = np.maximum(_MIN_SCALE, np.abs(residuals).mean(axis=1))
    weights = counts / (1 + np.square(residuals / scale[:, None]))
    weighted = (slopes * weights[:, :, None]).transpose(0, 2, 1)
    pull = np.matmul(weighted, residuals[:, :, None]).astype(np.float64)
    moves = np.clip(-np.linalg.solve(np.matmul(weighted, slopes) + _DIAGONAL, pull)[:, :, 0], -_MAX_MOVE, _MAX_MOVE)
    after = np.abs(residuals + np.matmul(slopes, moves[:, :, None].astype(np.float32))[:, :, 0])
    return moves, mean_of_least(np.where(counts, after, np.inf), counts.sum(axis=1))
