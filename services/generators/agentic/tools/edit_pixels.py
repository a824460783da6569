"""What each local edit does to pixels. Exact and the same every time: no randomness, no clock, no file of the machine."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from services.generators.agentic.tools.colors import NAMES, PALETTE, Rgb, distance, hsv_of, luma_difference, name_indices, painted, rgb_of
from services.generators.agentic.tools.edit_ops import (
    MIN_TEXT_CONTRAST,
    Blur,
    Box,
    Composite,
    Crop,
    PlaceShape,
    PlaceText,
    ReplaceColor,
    Resize,
    RotateQuarter,
    ShiftHue,
    Tilt,
)
from services.generators.agentic.tools.rasters import MAX_PIXELS
from services.generators.agentic.tools.shapes import blended, ellipse_mask, extent_of, outline_of, polygon_mask

MIN_SIDE_PX = 64
"""An image that comes out smaller shows nothing that can be asked about."""
MIN_TEXT_PX = 9
MIN_SHAPE_PX = 10
MIN_SHAPE_CONTRAST = 90.0
"""Between a shape and what lies under it, see `colors.distance`."""
MIN_RECOLORED_SHARE = 0.005
"""Of a rectangle's pixels: fewer of the old colour are fringes and noise, not a thing that has it."""

PixelBox = tuple[int, int, int, int]
_TURNS = (Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)
_OUTLINE_SHARE = 0.06
_PLATE_MARGIN = 0.3


class EditRefused(Exception):
    """An edit whose effect would not be what it states: out of the image, too small to be seen, or on its own colour."""


def pixel_box(box: Box, image: Image.Image) -> PixelBox:
    """A rectangle in whole pixels, at least one in either direction."""
    left, top = round(box.x0 * image.width), round(box.y0 * image.height)
    right, bottom = round(box.x1 * image.width), round(box.y1 * image.height)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return left, top, max(left + 1, right), max(top + 1, bottom)


def crop(image: Image.Image, op: Crop) -> Image.Image:
    """See `Crop`."""
    return _of_useful_size(image.crop(pixel_box(op.box, image)))


def resize(image: Image.Image, op: Resize) -> Image.Image:
    """See `Resize`.

    Raises:
        EditRefused: the result would be too small, or have more than `MAX_PIXELS`.
    """
    width, height = max(1, round(image.width * op.scale)), max(1, round(image.height * op.scale))
    if width * height > MAX_PIXELS:
        raise EditRefused(f"{width:,}×{height:,} px are more than the cap of {MAX_PIXELS:,}")
    return _of_useful_size(image.resize((width, height), Image.Resampling.LANCZOS))


def shift_hue(image: Image.Image, op: ShiftHue) -> Image.Image:
    """See `ShiftHue`."""
    box = pixel_box(op.box, image)
    hue, saturation, value = hsv_of(np.asarray(image.crop(box)))
    return _pasted(image, Image.fromarray(rgb_of((hue + op.degrees) % 360, saturation, value)), box)


def replace_color(image: Image.Image, op: ReplaceColor) -> Image.Image:
    """See `ReplaceColor`.

    Raises:
        EditRefused: hardly anything in the rectangle has the old colour.
    """
    box = pixel_box(op.box, image)
    pixels = np.array(image.crop(box))
    is_old = name_indices(pixels) == NAMES.index(op.old)
    if is_old.mean() < MIN_RECOLORED_SHARE:
        raise EditRefused(f"nothing in that box is {op.old}: {is_old.mean():.1%} of its pixels")
    pixels[is_old] = painted(pixels[is_old][None], op.new)[0]
    return _pasted(image, Image.fromarray(pixels), box)


def blur(image: Image.Image, op: Blur) -> Image.Image:
    """See `Blur`."""
    box = pixel_box(op.box, image)
    radius_px = max(1.0, op.radius * min(image.size))
    return _pasted(image, image.crop(box).filter(ImageFilter.GaussianBlur(radius_px)), box)


def rotate_quarter(image: Image.Image, op: RotateQuarter) -> Image.Image:
    """See `RotateQuarter`."""
    return image.transpose(_TURNS[op.quarter_turns - 1])


def tilt(image: Image.Image, op: Tilt) -> Image.Image:
    """See `Tilt`."""
    return image.rotate(-op.degrees, resample=Image.Resampling.BICUBIC, fillcolor=PALETTE[op.fill])


def place_text(image: Image.Image, op: PlaceText) -> Image.Image:
    """See `PlaceText`.

    Raises:
        EditRefused: it would be cut off, too small to be read, or hardly differ from what lies under it.
    """
    size_px = round(op.height * image.height)
    if size_px < MIN_TEXT_PX:
        raise EditRefused(f"text of {size_px} px can't be read: at least {MIN_TEXT_PX}")
    box = text_box(op, image)
    _check_inside(box, image, f"the text {op.text!r}")
    result = image.copy()
    pen = ImageDraw.Draw(result)
    if op.background is None:
        _check_contrast(image.crop(box), PALETTE[op.color], luma_difference, MIN_TEXT_CONTRAST, f"{op.color} text")
    else:
        left, top, right, bottom = box
        pen.rectangle((left, top, right - 1, bottom - 1), fill=PALETTE[op.background])
    pen.text((op.x * image.width, op.y * image.height), op.text, font=_font(size_px), fill=PALETTE[op.color], anchor="mm")
    return result


def text_box(op: PlaceText, image: Image.Image) -> PixelBox:
    """What the text covers, with the margin of its plate; may reach out of the image."""
    size_px = round(op.height * image.height)
    left, top, right, bottom = ImageDraw.Draw(image).textbbox(
        (op.x * image.width, op.y * image.height), op.text, font=_font(size_px), anchor="mm"
    )
    margin = _PLATE_MARGIN * size_px if op.background is not None else 0
    return math.floor(left - margin), math.floor(top - margin), math.ceil(right + margin), math.ceil(bottom + margin)


def place_shape(image: Image.Image, op: PlaceShape) -> Image.Image:
    """See `PlaceShape`.

    Raises:
        EditRefused: it would be cut off, too small to be seen, or hardly differ from what lies under it.
    """
    half_px = op.size * min(image.size) / 2
    if 2 * half_px < MIN_SHAPE_PX:
        raise EditRefused(f"a {op.shape} of {2 * half_px:.0f} px can't be told: at least {MIN_SHAPE_PX}")
    x_px, y_px = op.x * image.width, op.y * image.height
    left, top, right, bottom = extent_of(op.shape, rotation_deg=op.rotation_deg)
    box = (
        math.floor(x_px + left * half_px),
        math.floor(y_px + top * half_px),
        math.ceil(x_px + right * half_px),
        math.ceil(y_px + bottom * half_px),
    )
    _check_inside(box, image, f"the {op.shape}")
    under = np.asarray(image.crop(box))
    edge = op.outline or op.color
    _check_contrast(image.crop(box), PALETTE[edge], distance, MIN_SHAPE_CONTRAST, f"a {op.shape} in {edge}")
    layers = [(1.0, op.color)] if op.outline is None else [(1.0, op.outline), (1 - 2 * _OUTLINE_SHARE, op.color)]
    for scale, color in layers:
        corners = [
            (x_px - box[0] + x * half_px * scale, y_px - box[1] + y * half_px * scale)
            for x, y in outline_of(op.shape, rotation_deg=op.rotation_deg)
        ]
        mask = polygon_mask(corners, width_px=under.shape[1], height_px=under.shape[0])
        under = blended(under, np.array(PALETTE[color], dtype=np.uint8), mask)
    return _pasted(image, Image.fromarray(under), box)


def composite(image: Image.Image, source: Image.Image, op: Composite) -> Image.Image:
    """See `Composite`."""
    box = pixel_box(op.box, image)
    size = (box[2] - box[0], box[3] - box[1])
    patch = source.crop(pixel_box(op.source_box, source)).resize(size, Image.Resampling.LANCZOS)
    if op.mask == "ellipse":
        patch = Image.fromarray(blended(np.asarray(image.crop(box)), np.asarray(patch), ellipse_mask(*size)))
    return _pasted(image, patch, box)


@lru_cache(maxsize=64)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow's built-in face (Aileron, CC0) needs no font file on the machine.
    return ImageFont.load_default(size_px)


def _pasted(image: Image.Image, patch: Image.Image, box: PixelBox) -> Image.Image:
    result = image.copy()
    result.paste(patch, box[:2])
    return result


def _of_useful_size(image: Image.Image) -> Image.Image:
    if min(image.size) < MIN_SIDE_PX:
        raise EditRefused(f"{image.width}×{image.height} px are too small: at least {MIN_SIDE_PX} px a side")
    return image


def _check_inside(box: PixelBox, image: Image.Image, what: str) -> None:
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > image.width or bottom > image.height:
        detail = f"from {left}, {top} to {right}, {bottom} of {image.width}×{image.height} px"
        raise EditRefused(f"{what} would be cut off: it reaches {detail}")


def _check_contrast(under: Image.Image, color: Rgb, difference: Callable[[Rgb, Rgb], float], needed: float, what: str) -> None:
    """Every sixteenth of what lies under must differ from the colour, so that no part of the thing drowns."""
    cells = np.asarray(under.resize((4, 4), Image.Resampling.BOX)).reshape(-1, 3)
    least = min(difference(color, (int(red), int(green), int(blue))) for red, green, blue in cells)
    if least < needed:
        hint = f"by {least:.0f}, at least {needed:.0f} is needed"
        raise EditRefused(f"{what} hardly differs from what lies under it: {hint}. Take another color, an outline or a plate")
