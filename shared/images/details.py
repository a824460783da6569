"""Where an image has detail: two blue skies are alike, and that means nothing."""

import numpy as np

from shared.images.grids import GRID, Flags, Floats

MIN_DETAILS = 32
"""Cells with detail, of 1,024, from which a likeness alone means something."""
_MIN_CURVATURE = 5.0
"""Of a detail, of 255: by how much a cell departs from a slope through its neighbours."""


def num_details(cells: bytes) -> int:
    """Cells with detail of a 32 × 32 × 3 grid."""
    luma = np.frombuffer(cells, dtype=np.uint8).reshape(GRID, GRID, 3)[..., 0].astype(np.float32)
    return int(is_detail(luma[None]).sum())


def is_detail(planes: Floats) -> Flags:
    """Cells that are no part of a slope, which any sky has."""
    flags: Flags = np.zeros(planes.shape, dtype=np.bool_)
    middle = 2 * planes[:, 1:-1, 1:-1]
    across = np.abs(middle - planes[:, 1:-1, :-2] - planes[:, 1:-1, 2:])
    flags[:, 1:-1, 1:-1] = np.maximum(across, np.abs(middle - planes[:, :-2, 1:-1] - planes[:, 2:, 1:-1])) > _MIN_CURVATURE
    return flags
