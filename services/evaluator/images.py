"""Decoding of images that others made: an allow-list of formats, and a pixel cap that is checked before any pixel is unpacked."""

import io
import warnings

from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")


class UnreadableImage(Exception):
    """These bytes are no image that may be shown to a model; the text says why."""


def decode_image(payload: bytes, *, max_pixels: int) -> Image.Image:
    """An RGB image.

    Raises:
        UnreadableImage: another format, more than `max_pixels`, truncated or corrupted.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images by their header; here the cap below decides.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(payload), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"not a {', '.join(FORMATS)} image") from error
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(f"the image's header cannot be read: {error}") from error
    if image.width * image.height > max_pixels:
        raise UnreadableImage(f"{image.width}×{image.height} px is more than {max_pixels} pixels")
    try:
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UnreadableImage(f"truncated or corrupted image: {error}") from error
