"""An image that may be asked about, and where it comes from."""

from dataclasses import dataclass
from typing import Literal

from services.generators.agentic.tools.source_caps import SourceMark
from shared.domain import ArtifactRef
from shared.pool import PoolImage

Origin = Literal["pool", "web"]


@dataclass(frozen=True, slots=True)
class Source:
    """An image that stands in the store, re-encoded and without metadata."""

    origin: Origin
    image: ArtifactRef
    width_px: int
    height_px: int
    perceptual_hash: int
    licence: str
    caption: str
    """Caption or title, by whoever."""
    url: str
    """Where the image itself was; empty for images of the pool."""
    page_url: str
    domain: str
    retrieved_at: str
    """ISO 8601; empty for images of the pool."""
    thumbnail: ArtifactRef | None = None
    """A small copy, where one stands in the store."""

    @property
    def mark(self) -> SourceMark:
        """What counts of it in a list. The pool's images are the operator's own choice, so their domains are not counted."""
        return SourceMark(self.domain if self.origin == "web" else "", self.perceptual_hash)

    @property
    def record(self) -> dict[str, str]:
        """As provenance names it."""
        return {
            "origin": self.origin,
            "image_sha256": self.image.sha256,
            "url": self.url,
            "page_url": self.page_url,
            "domain": self.domain,
            "licence": self.licence,
            "caption": self.caption,
            "retrieved_at": self.retrieved_at,
        }


def of_pool(image: PoolImage) -> Source:
    """An image of the pool."""
    return Source(
        origin="pool",
        image=image.image,
        width_px=image.width_px,
        height_px=image.height_px,
        perceptual_hash=image.perceptual_hash,
        licence=image.licence,
        caption=image.caption,
        url="",
        page_url=image.page_url,
        domain=image.domain,
        retrieved_at="",
        thumbnail=image.thumbnail,
    )
