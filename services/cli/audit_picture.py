"""An image in the terminal: two pixels a character, in whatever colours the terminal has. And as a file, for those that have none."""

import io
from pathlib import Path

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

from services.cli.images import FORMATS, image_fault
from shared.errors import Rejected
from shared.images.headers import BrokenImage, read_header

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
_UPPER_HALF = "▀"


def half_blocks(payload: bytes, *, columns: int, rows: int) -> Text:
    """The image as lines of half blocks, as large as fits into so many columns and rows; transparency is white.

    Raises:
        Rejected: it does not decode, or is too large to be scaled down here.
    """
    image = _decoded(payload)
    scale = _scale(image, columns, rows)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    shown = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    text = Text(no_wrap=True)
    for top in range(0, shown.height, 2):
        if top:
            text.append("\n")
        for x in range(shown.width):
            upper = _colour(shown, x, top)
            lower = _colour(shown, x, top + 1) if top + 1 < shown.height else None
            text.append(_UPPER_HALF, Style(color=upper, bgcolor=lower))
    return text


def shown_share(payload: bytes, *, columns: int, rows: int) -> float:
    """The share of its width and height that `half_blocks` leaves of an image which decodes; 1 where it loses nothing."""
    with Image.open(io.BytesIO(payload), formats=FORMATS) as image:
        return min(1.0, _scale(image, columns, rows))


def save_image(payload: bytes, folder: Path, name: str) -> Path:
    """Writes the image as it is, however large, under a name with the suffix of its format, and returns where.

    Raises:
        Rejected: it is no image.
        OSError: it can't be written there.
    """
    try:
        # The header alone: no pixel is unpacked.
        suffix = _SUFFIXES[read_header(payload).format]
    except BrokenImage as error:
        raise Rejected(str(error)) from error
    path = folder / f"{name}{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path


def _scale(image: Image.Image, columns: int, rows: int) -> float:
    return min(columns / image.width, 2 * rows / image.height)


def _decoded(payload: bytes) -> Image.Image:
    fault = image_fault(payload)
    if fault:
        raise Rejected(fault)
    with Image.open(io.BytesIO(payload), formats=FORMATS) as image:
        over_white = Image.new("RGBA", image.size, "white")
        over_white.alpha_composite(image.convert("RGBA"))
    return over_white.convert("RGB")


def _colour(image: Image.Image, x: int, y: int) -> Color:
    pixel = image.getpixel((x, y))
    red, green, blue = pixel if isinstance(pixel, tuple) else (0, 0, 0)
    return Color.from_rgb(red, green, blue)
