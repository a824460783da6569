"""Twelve colours with names: what edits paint with, and what a pixel would be called.

Edits know colours by name only, so that the answer to "what colour is …?" follows from the edit.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from shared.images.decoding import Pixels

ColorName = Literal["black", "white", "gray", "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown"]
Rgb = tuple[int, int, int]

PALETTE: dict[ColorName, Rgb] = {
    "black": (16, 16, 16),
    "white": (255, 255, 255),
    "gray": (128, 128, 128),
    "red": (220, 30, 30),
    "orange": (245, 140, 20),
    "yellow": (250, 220, 40),
    "green": (40, 160, 60),
    "cyan": (30, 190, 215),
    "blue": (40, 80, 220),
    "purple": (130, 50, 190),
    "pink": (250, 100, 180),
    "brown": (130, 75, 35),
}
NAMES: tuple[ColorName, ...] = tuple(PALETTE)

_MIN_CHROMA = 0.17
"""Saturation below which a pixel has no hue to speak of."""
_HUES: tuple[tuple[float, ColorName], ...] = (
    (15, "red"),
    (43, "orange"),
    (68, "yellow"),
    (165, "green"),
    (202, "cyan"),
    (255, "blue"),
    (292, "purple"),
    (343, "pink"),
    (360, "red"),
)
"""Upper ends in degrees."""
_MIN_SHADE = 0.8


def hsv_of(pixels: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Hue in degrees [0, 360), saturation and value in [0, 1], each height × width."""
    rgb = pixels.astype(np.float32) / 255
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    value = rgb.max(axis=-1)
    spread = value - rgb.min(axis=-1)
    divisor = np.where(spread == 0, 1, spread)
    hue = np.where(
        value == red, (green - blue) / divisor % 6, np.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    )
    return hue * 60 % 360, spread / np.where(value == 0, 1, value), value


def rgb_of(hue: npt.NDArray[np.float32], saturation: npt.NDArray[np.float32], value: npt.NDArray[np.float32]) -> Pixels:
    """Pixels, height × width × 3; the inverse of `hsv_of` up to rounding."""
    sector = (hue[..., None] / 60 + np.array([5, 3, 1], dtype=np.float32)) % 6
    share = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    rgb = value[..., None] * (1 - saturation[..., None] * share)
    pixels: Pixels = np.rint(rgb * 255).astype(np.uint8)
    return pixels


def name_indices(pixels: Pixels) -> npt.NDArray[np.int64]:
    """For each pixel the index in `NAMES` of what people would call its colour, height × width."""
    hue, saturation, value = hsv_of(pixels)
    bounds = np.array([end for end, _ in _HUES[:-1]], dtype=np.float32)
    by_hue = np.array([NAMES.index(name) for _, name in _HUES])
    found = by_hue[np.searchsorted(bounds, hue, side="right")]
    is_dull = (value < 0.66) & (hue >= 12) & (hue < 45) & (saturation > 0.3)
    is_pale_red = ((hue < 15) | (hue >= 343)) & (saturation < 0.55) & (value > 0.75)
    found = np.where(is_dull, NAMES.index("brown"), np.where(is_pale_red, NAMES.index("pink"), found))
    is_gray = saturation < _MIN_CHROMA
    found = np.where(is_gray, np.where(value > 0.78, NAMES.index("white"), NAMES.index("gray")), found)
    return np.where((value < 0.16) | (is_gray & (value < 0.25)), NAMES.index("black"), found)


def painted(pixels: Pixels, color: ColorName) -> Pixels:
    """The pixels in one named colour; the brighter ones stay a little brighter, so that shading remains."""
    _, _, value = hsv_of(pixels)
    lowest, highest = float(value.min()), float(value.max())
    shade = np.ones_like(value) if highest == lowest else _MIN_SHADE + (1 - _MIN_SHADE) * (value - lowest) / (highest - lowest)
    result: Pixels = np.rint(shade[..., None] * np.array(PALETTE[color], dtype=np.float32)).astype(np.uint8)
    return result


def distance(first: Rgb, second: Rgb) -> float:
    """Between two colours, from 0 to 441: Euclidean over red, green and blue."""
    return math.dist(first, second)


def luma_difference(first: Rgb, second: Rgb) -> float:
    """How much brighter one colour looks than another, from 0 to 255: what reading hangs on."""
    red, green, blue = (a - b for a, b in zip(first, second, strict=True))
    return abs(0.299 * red + 0.587 * green + 0.114 * blue)
