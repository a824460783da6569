"""An image as a grid of few cells: each is the mean under a triangle two cells wide, integrated exactly, so that scale does not matter.

A grid can also be laid over a *window* that is smaller or larger than the image, or mirrored: that is how a cropped copy is compared with
its original. Cells of which a part lies outside the image are told apart by their coverage.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from shared.images.decoding import Pixels

GRID = 32
"""Cells a side of the grid that is kept of an image."""

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Windows = npt.NDArray[np.float64]
"""n × 4: left, right, top and bottom as shares of the image, from its upper left corner; mirrored where the left is the larger one."""
WHOLE = (0.0, 1.0, 0.0, 1.0)


def _below(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The share of a triangle of half width 1 around 0 that lies below."""
    clipped = np.clip(edges, -1, 1)
    share: npt.NDArray[np.float64] = 0.5 + clipped - np.abs(clipped) * clipped / 2
    return share


def weights(num_pixels: int, num_cells: int, starts: npt.NDArray[np.float64], stops: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """How much each pixel counts in each cell of some windows along one axis, and how much of each cell the image covers.

    Args:
        num_pixels: of the image along this axis.
        num_cells: of a window.
        starts: n places where the first cell begins, as shares of the image, below 0 or above 1 outside.
        stops: n places where the last cell ends; mirrored where it lies before the start.

    Returns:
        n × num_cells × num_pixels, with the sum 1 over the pixels where anything is covered; and n × num_cells shares.
    """
    steps = (stops - starts)[:, None] / num_cells
    centres = starts[:, None] + (np.arange(num_cells) + 0.5) * steps
    scale = 1 / np.abs(steps)
    low, high = np.minimum(starts, stops)[:, None], np.maximum(starts, stops)[:, None]
    # As in a grid over a whole image, triangles end where the window ends.
    edges = np.clip(np.arange(num_pixels + 1)[None, :] / num_pixels, low, high)
    inside = np.diff(_below((edges[:, None, :] - centres[:, :, None]) * scale[:, :, None]), axis=2)
    whole = _below((high - centres) * scale) - _below((low - centres) * scale)
    covered = inside.sum(axis=2)
    shares: Floats = (inside / np.maximum(covered, 1e-9)[:, :, None]).astype(np.float32)
    coverage: Floats = (covered / whole).astype(np.float32)
    return shares, coverage


@lru_cache(maxsize=256)
def whole_weights(num_pixels: int, num_cells: int = GRID) -> Floats:
    """The weights of a grid over a whole image, num_cells × num_pixels."""
    shares: Floats = weights(num_pixels, num_cells, np.zeros(1), np.ones(1))[0][0]
    return shares


def grid_of(preview: Pixels) -> Pixels:
    """Luma and colour differences over 32 × 32 cells."""
    height, width = preview.shape[:2]
    rows = (whole_weights(height) @ preview.reshape(height, -1).astype(np.float32)).reshape(GRID, width, 3)
    columns = whole_weights(width) @ np.ascontiguousarray(rows.transpose(1, 0, 2)).reshape(width, -1)
    cells: Pixels = np.clip(np.rint(columns.reshape(GRID, GRID, 3).transpose(1, 0, 2)), 0, 255).astype(np.uint8)
    return cells


def grids_in(plane: Floats, windows: Windows) -> tuple[Floats, Floats]:
    """One channel over 32 × 32 cells of each window, n × 32 × 32, and how much of each cell the image covers."""
    height, width = plane.shape
    across, covered_across = weights(width, GRID, windows[:, 0], windows[:, 1])
    down, covered_down = weights(height, GRID, windows[:, 2], windows[:, 3])
    grids: Floats = np.matmul(np.matmul(down, plane), across.transpose(0, 2, 1))
    coverage: Floats = covered_down[:, :, None] * covered_across[:, None, :]
    return grids, coverage


def halved(planes: Floats) -> Floats:
    """The means of 2 × 2 cells in the last two axes."""
    *rest, height, width = planes.shape
    means: Floats = planes.reshape(*rest, height // 2, 2, width // 2, 2).mean(axis=(-3, -1))
    return means


def halved_flags(flags: Flags) -> Flags:
    """Whether all of 2 × 2 cells are set, in the last two axes."""
    rows: Flags = flags[..., ::2, :] & flags[..., 1::2, :]
    both: Flags = rows[..., ::2] & rows[..., 1::2]
    return both


def coarser(planes: Floats, num_cells: int) -> Floats:
    """The grid of num_cells a side over grids of more, in the last two axes, which become one."""
    shares = whole_weights(planes.shape[-1], num_cells)
    grids: Floats = np.matmul(np.matmul(shares, planes), shares.T).reshape(*planes.shape[:-2], num_cells * num_cells)
    return grids
