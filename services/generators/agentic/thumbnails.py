"""Small copies of images, for choosing among them; the same image has the same copy, for its bytes name a paid reply."""

import asyncio
import io

from PIL import Image

THUMBNAIL_PX = 256
_QUALITY = 85


def thumbnail_of(image: bytes) -> bytes:
    """A JPEG of at most 256 px on its longer side. The image must be one of ours, which was decoded and re-encoded before."""
    with Image.open(io.BytesIO(image), formats=("PNG", "JPEG", "WEBP")) as opened:
        small = opened.convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    small.save(sink, format="JPEG", quality=_QUALITY)
    return sink.getvalue()


async def thumbnail_in_thread(image: bytes) -> bytes:
    """As `thumbnail_of`, without holding up the loop."""
    return await asyncio.to_thread(thumbnail_of, image)
