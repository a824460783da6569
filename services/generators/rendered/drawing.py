"""Marks in unit coordinates and the surface that turns them into a PNG of any size.

A scene is a list of marks, so that the same scene can be drawn at 64 or at 448 pixels. Coordinates run from 0 to 1, x to the right and
y downwards; widths and text heights are shares of the image's side.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Point = tuple[float, float]

_SUPERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x0: float
    y0: float
    x1: float
    y1: float
    fill: Rgb


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A filled ellipse inside a box."""

    x0: float
    y0: float
    x1: float
    y1: float
    fill: Rgb


@dataclass(frozen=True, slots=True)
class Slice:
    """A filled pie slice; angles in degrees, clockwise from three o'clock."""

    x: float
    y: float
    radius: float
    start_deg: float
    end_deg: float
    fill: Rgb


@dataclass(frozen=True, slots=True)
class Arc:
    """A stroke along a circle; angles in degrees, clockwise from three o'clock."""

    x: float
    y: float
    radius: float
    start_deg: float
    end_deg: float
    fill: Rgb
    width: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """A filled polygon."""

    points: tuple[Point, ...]
    fill: Rgb


@dataclass(frozen=True, slots=True)
class Stroke:
    """An open line through points."""

    points: tuple[Point, ...]
    fill: Rgb
    width: float


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Text, centred on a point; `height` is the font size."""

    x: float
    y: float
    text: str
    height: float
    fill: Rgb


Mark = Box | Ellipse | Slice | Arc | Polygon | Stroke | Glyphs


@lru_cache(maxsize=128)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow's built-in face (Aileron, CC0) needs no font file on the machine.
    return ImageFont.load_default(size_px)


def _draw(pen: ImageDraw.ImageDraw, mark: Mark, side: int) -> None:
    match mark:
        case Box(x0, y0, x1, y1, fill):
            left, top = x0 * side, y0 * side
            pen.rectangle((left, top, max(left, x1 * side - 1), max(top, y1 * side - 1)), fill=fill)
        case Ellipse(x0, y0, x1, y1, fill):
            pen.ellipse((x0 * side, y0 * side, x1 * side, y1 * side), fill=fill)
        case Slice(x, y, radius, start, end, fill):
            box = ((x - radius) * side, (y - radius) * side, (x + radius) * side, (y + radius) * side)
            pen.pieslice(box, start, end, fill=fill)
        case Arc(x, y, radius, start, end, fill, width):
            box = ((x - radius) * side, (y - radius) * side, (x + radius) * side, (y + radius) * side)
            pen.arc(box, start, end, fill=fill, width=max(1, round(width * side)))
        case Polygon(points, fill):
            pen.polygon([(x * side, y * side) for x, y in points], fill=fill)
        case Stroke(points, fill, width):
            pen.line([(x * side, y * side) for x, y in points], fill=fill, width=max(1, round(width * side)), joint="curve")
        case Glyphs(x, y, text, height, fill):
            pen.text((x * side, y * side), text, fill=fill, font=_font(max(6, round(height * side))), anchor="mm")


def draw_png(marks: Sequence[Mark], image_size_px: int) -> bytes:
    """The marks, painted in order on a square image, as PNG; the same marks and size give the same bytes."""
    side = image_size_px * _SUPERSAMPLING
    image = Image.new("RGB", (side, side))
    pen = ImageDraw.Draw(image)
    for mark in marks:
        _draw(pen, mark, side)
    sink = io.BytesIO()
    image.reduce(_SUPERSAMPLING).save(sink, format="PNG", compress_level=3)
    return sink.getvalue()
