"""Looking at the pictures of `tests/pool_images.py`: what their pixels show, and nothing that anybody says of them."""

import colorsys
import io
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage

from shared.domain import ImageCategory
from tests.pool_images import COLOURS, HUES

_MIN_AREA_SHARE = 0.004
_HUES = {name: colorsys.rgb_to_hsv(*(value / 255 for value in rgb))[0] for name, rgb in COLOURS.items()}


@dataclass(frozen=True)
class Shape:
    """One shape: its colour, its centre and its bounds in shares of the image's sides."""

    colour: str
    x: float
    y: float
    box: tuple[float, float, float, float]
    """Left, top, right, bottom."""


@dataclass(frozen=True)
class View:
    """What an image shows."""

    width_px: int
    height_px: int
    category: ImageCategory
    shapes: tuple[Shape, ...]

    @property
    def counts(self) -> Counter[str]:
        """Shapes by colour."""
        return Counter(shape.colour for shape in self.shapes)

    @property
    def leftmost(self) -> Shape | None:
        """The shape that lies plainly left of all others, if there is one."""
        ordered = sorted(self.shapes, key=lambda shape: shape.x)
        if not ordered or (len(ordered) > 1 and ordered[1].x - ordered[0].x < 0.05):
            return None
        return ordered[0]


@lru_cache(maxsize=4096)
def look(image: bytes) -> View:
    """Shapes and category of a picture."""
    with Image.open(io.BytesIO(image)) as opened:
        hsv = np.asarray(opened.convert("RGB").convert("HSV"), dtype=np.float32) / 255
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    height_px, width_px = hue.shape
    vivid = (saturation > 0.62) & (value > 0.3)
    shapes = []
    for name, its_hue in _HUES.items():
        labels, _ = ndimage.label(vivid & (_distance(hue, its_hue) < 0.06))
        for label, where in enumerate(ndimage.find_objects(labels), 1):
            area = int((labels[where] == label).sum())
            if area < _MIN_AREA_SHARE * hue.size:
                continue
            rows, columns = where
            shapes.append(
                Shape(
                    name,
                    x=(columns.start + columns.stop) / 2 / width_px,
                    y=(rows.start + rows.stop) / 2 / height_px,
                    box=(columns.start / width_px, rows.start / height_px, columns.stop / width_px, rows.stop / height_px),
                )
            )
    ground = (saturation > 0.1) & (saturation < 0.4)
    # The mean of angles, for red lies at both ends of the circle.
    angles = hue[ground] * 2 * np.pi
    mean = (float(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) / (2 * np.pi)) % 1.0 if ground.any() else 0.0
    category = min(HUES, key=lambda one: float(_distance(np.array(mean), HUES[one])))
    return View(width_px, height_px, category, tuple(sorted(shapes, key=lambda shape: (shape.y, shape.x))))


def _distance(hue: np.ndarray, other: float) -> np.ndarray:
    apart = np.abs(hue - other)
    return np.minimum(apart, 1 - apart)
