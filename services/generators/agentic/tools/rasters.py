"""Images between bytes and pixels: upright, red, green and blue only, and written without anything but the picture."""

import io

from PIL import Image, ImageOps

from shared.images.decoding import unpack_image

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 4_194_304
"""The most that an image of ours may have, before and after edits: 2048 × 2048, what the vision models are fed at most."""

_BACKDROP = (255, 255, 255)
_COMPRESS_LEVEL = 4


def read_raster(payload: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The pixels of an image as people see it: turned as its EXIF says, and on white where it is transparent.

    Args:
        payload: the bytes, from anybody.
        max_bytes: cap on them.
        max_pixels: cap on width × height as they come.

    Raises:
        ImageRefused: no whole, still PNG, JPEG or WEBP within the caps.
    """
    return unpack_image(payload, _upright, max_bytes=max_bytes, max_pixels=max_pixels)


def write_png(image: Image.Image) -> bytes:
    """The image as PNG: pixels and nothing else; the same pixels make the same bytes."""
    buffer = io.BytesIO()
    plain = Image.frombytes("RGB", image.size, image.convert("RGB").tobytes())
    plain.save(buffer, format="PNG", compress_level=_COMPRESS_LEVEL)
    return buffer.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    turned = ImageOps.exif_transpose(image)
    if not turned.has_transparency_data:
        return turned.convert("RGB")
    seen = turned.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, (*_BACKDROP, 255)), seen).convert("RGB")
