"""Images of the web, made safe and worth keeping: fetched through the guard, decoded within caps, good enough, and re-encoded."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from services.generators.agentic.tools.domains import registrable_domain
from services.generators.agentic.tools.fetching import Fetcher, FetchLimits
from services.generators.agentic.tools.quality_floor import QualityFloor, check_quality
from services.generators.agentic.tools.rasters import write_png
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from services.generators.agentic.tools.web_search import WebImage
from shared.domain import RejectionReason
from shared.images.decoding import ImageRefused
from shared.images.intake import IntakeCaps, unpack_pixels


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """What an image may cost and must show."""

    fetch: FetchLimits = field(default_factory=FetchLimits)
    max_pixels: int = 40_000_000
    """As it comes; checked before any pixel is unpacked."""
    max_side_px: int = 1536
    """Larger images are scaled down to it."""
    floor: QualityFloor = field(default_factory=QualityFloor)


@dataclass(frozen=True, slots=True)
class Download:
    """An image of the web with where it comes from."""

    image: bytes
    """PNG: upright, in sRGB, without EXIF or anything else but the picture."""
    sha256: str
    """Hex, of `image`."""
    width_px: int
    height_px: int
    original_sha256: str
    """Hex, of the bytes as they came."""
    url: str
    """Where the image was, after redirects."""
    page_url: str
    domain: str
    """Registrable domain that gave the bytes."""
    title: str
    licence: str
    """As the search stated it; empty where it did not."""
    retrieved_at: datetime


async def fetch_image(fetcher: Fetcher, found: WebImage, *, retrieved_at: datetime, limits: DownloadLimits | None = None) -> Download:
    """The image that a search found, ready for the store.

    Args:
        fetcher: see `open_fetcher`.
        found: the search's words; of its URL nothing is believed.
        retrieved_at: now, with its time zone.
        limits: the defaults where None.

    Raises:
        Refused: it may not be fetched, can't be had, or is no image worth keeping; another one should be taken.
    """
    chosen = limits or DownloadLimits()
    fetched = await fetcher.fetch(found.url, chosen.fetch)
    image, width_px, height_px = await asyncio.to_thread(_re_encoded, fetched.payload, chosen)
    return Download(
        image=image,
        sha256=hashlib.sha256(image).hexdigest(),
        width_px=width_px,
        height_px=height_px,
        original_sha256=hashlib.sha256(fetched.payload).hexdigest(),
        url=fetched.url.text,
        page_url=found.page_url,
        domain=registrable_domain(fetched.url.host),
        title=found.title,
        licence=found.licence,
        retrieved_at=retrieved_at,
    )


def _re_encoded(payload: bytes, limits: DownloadLimits) -> tuple[bytes, int, int]:
    caps = IntakeCaps(max_bytes=limits.fetch.max_bytes, max_pixels=limits.max_pixels, max_side_px=limits.max_side_px)
    try:
        raster = unpack_pixels(payload, caps).convert("RGB")
    except ImageRefused as error:
        reason = RefusalReason.TOO_LARGE if error.reason is RejectionReason.IMAGE_TOO_LARGE else RefusalReason.UNDECODABLE
        raise Refused(reason, error.detail) from error
    check_quality(raster, limits.floor)
    return write_png(raster), raster.width, raster.height
