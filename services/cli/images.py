"""Reads a probe's image without trusting it: an allow-list of formats, caps before decoding, and a full decode."""

import io
import warnings

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_IMAGE_BYTES = 20_000_000
MAX_IMAGE_PIXELS = 16_777_216
"""The evaluator decodes no larger ones by default."""


def image_fault(payload: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> str | None:
    """What is wrong with an image, and what to do about it; None where it decodes."""
    if not payload:
        return "the image is empty"
    if len(payload) > MAX_IMAGE_BYTES:
        return f"the image has {len(payload):,} bytes, more than the cap of {MAX_IMAGE_BYTES:,}: scale it down"
    try:
        with warnings.catch_warnings():
            # Pillow warns and raises on huge headers by itself; the cap below is stricter and says what to do.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(payload), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    return f"the image is {width:,} × {height:,} px, more than the cap of {max_pixels:,} pixels: scale it down"
                image.load()
    except Image.DecompressionBombError:
        return f"the image has far more pixels than the cap of {max_pixels:,}: scale it down"
    except (OSError, SyntaxError, ValueError) as error:
        return f"the image does not decode ({error}): it must be a whole PNG, JPEG or WEBP"
    return None
