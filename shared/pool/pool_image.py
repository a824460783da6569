"""The pool's nouns."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain import ArtifactRef, ImageCategory


@dataclass(frozen=True, slots=True)
class PoolImage:
    """An unlabelled image that stands in the store: upright, without metadata, without transparency."""

    image_sha256: str
    """Of the re-encoded image, which is also its blob; two pool images never share it."""
    image: ArtifactRef
    thumbnail: ArtifactRef
    """JPEG, at most 256 px on its longer side."""
    width_px: int
    height_px: int
    source: str
    licence: str
    caption: str
    """What somebody wrote about it; empty where nobody did."""
    category: ImageCategory | None
    """What somebody took it for; None where nobody said."""
    perceptual_hash: int
    """64 bits, see `shared.images.perceptual_hash`."""
    original_sha256: str
    """Of the bytes that were brought."""
    page_url: str = ""
    domain: str = ""
    """The host of `page_url`, or of a source that is an address, without www."""
    origin: str = ""
    """The file, row or object that it came from, as the one who added it sees it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An image that a search found; higher scores first, and only comparable within one search."""

    image: PoolImage
    score: float
    """By words: BM25, or what rank fusion gives where vectors take part. By likeness: the share of the 64 bits that agree, in [0, 1]."""
    is_mirrored: bool = False
    """By likeness: the image is more alike when mirrored from left to right."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What the pool holds."""

    num_images: int
    num_image_bytes: int
    num_thumbnail_bytes: int
    by_licence: Mapping[str, int]
    """This and the following: the most frequent first. Images without a domain or category are counted under an empty name."""
    by_source: Mapping[str, int]
    by_domain: Mapping[str, int]
    by_category: Mapping[str, int]
    num_near_duplicate_clusters: int
    """Groups of two and more images that chains of nearly equal hashes connect, see `shared.pool.near_duplicates`."""
    num_near_duplicates: int
    """Images in such groups."""
    refusals: Mapping[str, int]
    """How many files were refused so far, by reason."""
