"""Images of the operator's own: probes, exam and benchmarks. Pure.

Candidates must be one whole, still picture of 8 bits a channel. What the operator brings need not be: photos of telephones carry a second
picture behind the first, scans have 16 bits, and a file may end in a few stray bytes. Their pictures must be known all the same, or copies
of them would be trained on.
"""

import io
import warnings

import numpy as np
from PIL import Image

from shared.benchmarks import MAX_IMAGE_PIXELS
from shared.images.decoding import DecodedImage, ImageRefused, decode_image

_MAX_BYTES = 64_000_000
_FORMATS = ("PNG", "JPEG", "WEBP")


def read_own_image(payload: bytes) -> DecodedImage | None:
    """The picture, of several the first; None where there is none."""
    try:
        return decode_image(payload, max_bytes=_MAX_BYTES, max_pixels=MAX_IMAGE_PIXELS)
    except ImageRefused:
        plain = _plain(payload)
    try:
        return decode_image(plain, max_bytes=4 * _MAX_BYTES, max_pixels=MAX_IMAGE_PIXELS) if plain else None
    except ImageRefused:
        return None


def _plain(payload: bytes) -> bytes | None:
    """The first picture alone, in 8 bits a channel."""
    try:
        with warnings.catch_warnings():
            # The cap below is stricter.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(payload), formats=_FORMATS) as image:
                if image.width * image.height > MAX_IMAGE_PIXELS:
                    return None
                _eight_bits(image).save(sink := io.BytesIO(), "PNG", compress_level=1)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None
    return sink.getvalue()


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion cuts off what is brighter than 255.
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
