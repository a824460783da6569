"""An image as likeness sees it: its grid, and pixels enough to lay the grid over any window."""

from functools import cached_property

import numpy as np

from shared.images.decoding import DecodedImage, Pixels
from shared.images.grids import GRID, Floats, Windows, grid_of

_WORKING_PX = 96
"""The shorter side is reduced by a whole number, to this or up to twice as much."""


class Look:
    """A query. What is derived of it is made when it is first asked for, and once."""

    def __init__(self, cells: bytes, short_side_px: int, image: DecodedImage | None = None) -> None:
        """Takes the image's grid of 32 × 32 × 3 bytes and the image; without the image, the grid stands for its pixels."""
        self.cells = cells
        self.short_side_px = short_side_px
        self._image = image

    @cached_property
    def _preview(self) -> Pixels:
        return np.frombuffer(self.cells, dtype=np.uint8).reshape(GRID, GRID, 3) if self._image is None else self._image.preview

    @cached_property
    def _factor(self) -> int:
        return max(1, int(min(self._preview.shape[:2])) // _WORKING_PX)

    @cached_property
    def pixels(self) -> Floats:
        """The image reduced, height × width × 3; a remainder at its right and bottom is cut away."""
        factor = self._factor
        height, width = (side // factor for side in self._preview.shape[:2])
        whole = self._preview[: height * factor, : width * factor]
        if factor == 1:
            return whole.astype(np.float32)
        reduced: Floats = whole.reshape(height, factor, width, factor, 3).mean(axis=(1, 3), dtype=np.float32)
        return reduced

    @cached_property
    def luma(self) -> Floats:
        """Brightness of the reduced image, height × width."""
        return np.ascontiguousarray(self.pixels[..., 0])

    def to_reduced(self, windows: Windows) -> Windows:
        """Windows of the image as windows of the reduced one."""
        return windows * self._stretch

    def to_whole(self, windows: Windows) -> Windows:
        """Windows of the reduced image as windows of the image."""
        return windows / self._stretch

    @cached_property
    def _stretch(self) -> Windows:
        height, width = (side / (side // self._factor * self._factor) for side in self._preview.shape[:2])
        return np.array([width, width, height, height])


def look_of(image: DecodedImage) -> Look:
    """An image as a query."""
    return Look(grid_of(image.preview).tobytes(), min(image.width_px, image.height_px), image)
