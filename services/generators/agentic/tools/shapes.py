"""Outlines of the shapes that edits place, and the soft masks that put them on an image."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from services.generators.agentic.tools.edit_ops import ShapeName
from shared.images.decoding import Pixels

Point = tuple[float, float]
Mask = npt.NDArray[np.float32]
"""Height × width, in [0, 1]."""

_SUPERSAMPLING = 4


def _regular(num_corners: int) -> tuple[Point, ...]:
    """Corners of a regular polygon in the unit circle, one of them on top."""
    angles = (math.tau * corner / num_corners - math.pi / 2 for corner in range(num_corners))
    return tuple((math.cos(angle), math.sin(angle)) for angle in angles)


def _star() -> tuple[Point, ...]:
    return tuple((x * r, y * r) for (x, y), r in zip(_regular(10), (1, 0.42) * 5, strict=True))


_HALF = math.sqrt(0.5)
OUTLINES: dict[ShapeName, tuple[Point, ...]] = {
    "circle": _regular(128),
    "square": ((-_HALF, -_HALF), (_HALF, -_HALF), (_HALF, _HALF), (-_HALF, _HALF)),
    "rectangle": ((-0.9, -0.44), (0.9, -0.44), (0.9, 0.44), (-0.9, 0.44)),
    "triangle": _regular(3),
    "pentagon": _regular(5),
    "hexagon": _regular(6),
    "star": _star(),
    "arrow": ((-1, -0.2), (0.2, -0.2), (0.2, -0.6), (1, 0), (0.2, 0.6), (0.2, 0.2), (-1, 0.2)),
    "cross": (
        *((-0.3, -1.0), (0.3, -1.0), (0.3, -0.3), (1.0, -0.3), (1.0, 0.3), (0.3, 0.3)),
        *((0.3, 1.0), (-0.3, 1.0), (-0.3, 0.3), (-1.0, 0.3), (-1.0, -0.3), (-0.3, -0.3)),
    ),
}
"""Corners in the square from -1 to 1, y downwards; the shape is filled."""


def outline_of(shape: ShapeName, *, rotation_deg: float) -> tuple[Point, ...]:
    """The corners of a turned shape, clockwise; its longer side spans 2."""
    corners = OUTLINES[shape]
    half = max(max(x for x, _ in corners) - min(x for x, _ in corners), max(y for _, y in corners) - min(y for _, y in corners)) / 2
    angle = math.radians(rotation_deg)
    return tuple(
        ((x * math.cos(angle) - y * math.sin(angle)) / half, (x * math.sin(angle) + y * math.cos(angle)) / half) for x, y in corners
    )


def extent_of(shape: ShapeName, *, rotation_deg: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the turned shape, where its longer side spans 2 and its centre is 0, 0."""
    corners = outline_of(shape, rotation_deg=rotation_deg)
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def polygon_mask(corners: Sequence[Point], *, width_px: int, height_px: int) -> Mask:
    """How much of each pixel lies within a polygon, whose corners are in pixels."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.polygon([(x * _SUPERSAMPLING, y * _SUPERSAMPLING) for x, y in corners], fill=255)

    return _softened(draw, width_px, height_px)


def ellipse_mask(width_px: int, height_px: int) -> Mask:
    """How much of each pixel lies within the ellipse that touches the four sides."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.ellipse((0, 0, width_px * _SUPERSAMPLING - 1, height_px * _SUPERSAMPLING - 1), fill=255)

    return _softened(draw, width_px, height_px)


def _softened(draw: Callable[[ImageDraw.ImageDraw], None], width_px: int, height_px: int) -> Mask:
    canvas = Image.new("L", (width_px * _SUPERSAMPLING, height_px * _SUPERSAMPLING))
    draw(ImageDraw.Draw(canvas))
    mask: Mask = np.asarray(canvas.reduce(_SUPERSAMPLING), dtype=np.float32) / np.float32(255)
    return mask


def blended(under: Pixels, over: Pixels, mask: Mask) -> Pixels:
    """`over` where the mask is 1, `under` where it is 0."""
    share = mask[..., None]
    result: Pixels = np.rint(under * (1 - share) + over * share).astype(np.uint8)
    return result
