"""Where unlabelled images come from: a folder or file, a Parquet file, or a bucket. All of them are read lazily and in a fixed order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.cli.pool_details import NO_DETAILS, ImageDetails
from shared.errors import BadConfiguration

UNREADABLE, BAD_DETAILS = "unreadable", "schema"
MAX_SIDECAR_BYTES = 65_536
_BESIDE = frozenset({".txt", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".md", ".xml", ".yaml", ".yml", ".html", ".parquet", ".npy"})


class Unusable(Exception):
    """A file that can't be looked at, with the reason to count."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Found:
    """Something that may be an image."""

    origin: str
    """Which file, row or object it is."""
    read: Callable[[], Awaitable[tuple[bytes, ImageDetails]]]
    """Its bytes, and what was said about it. Raises `Unusable`, and `Retryable` while the source is away."""
    is_fixed: bool = False
    """The origin names these very bytes, so that whoever has seen it need not read them."""


class Source(Protocol):
    """A collection of images."""

    @property
    def name(self) -> str:
        """What stands as the source of its images where nothing else is said."""

    @property
    def may_know_licences(self) -> bool:
        """Whether it can say an image's licence."""

    async def count(self) -> int:
        """How many it will find."""

    def found(self) -> AsyncIterator[Found]:
        """All that may be an image, in a fixed order; raises `Retryable` while the source is away."""


def is_image_name(name: str) -> bool:
    """Whether a file of that name is worth a look: all but hidden files and texts and tables that go with images."""
    return not name.startswith(".") and Path(name).suffix.lower() not in _BESIDE


def said_of(captions: Mapping[str, ImageDetails], path: str) -> ImageDetails:
    """What a captions file says of an image, by its path or else its bare name."""
    return captions.get(path) or captions.get(path.rpartition("/")[2]) or NO_DETAILS


@asynccontextmanager
async def open_source(where: str, captions: Mapping[str, ImageDetails], *, max_bytes: int) -> AsyncIterator[Source]:
    """The source that an argument of `spiral pool add` names.

    Args:
        where: a folder, an image, a Parquet file, or `s3://KEY:SECRET@host:port/bucket/prefix`.
        captions: what a captions file says, by file.
        max_bytes: larger files are not read.

    Raises:
        BadConfiguration: there is no such thing, or the credentials are refused.
        Rejected: it is a Parquet file without images.
        Retryable: nothing answers there.
    """
    if where.startswith(("s3://", "s3+http://", "s3+https://")):
        # The client is not loaded for images of this machine.
        from services.cli.pool_source_s3 import open_s3_source

        async with open_s3_source(where, captions, max_bytes=max_bytes) as bucket:
            yield bucket
    else:
        yield await asyncio.to_thread(_local_source, Path(where), captions, max_bytes)


def _local_source(where: Path, captions: Mapping[str, ImageDetails], max_bytes: int) -> Source:
    from services.cli.pool_source_files import FolderSource
    from services.cli.pool_source_parquet import ParquetSource

    path = where.expanduser()
    if not path.exists():
        raise BadConfiguration(f"there is no {path}: name a folder, an image, a Parquet file, or s3://KEY:SECRET@host:port/bucket/prefix")
    if path.suffix.lower() == ".parquet" and path.is_file():
        return ParquetSource(path, max_bytes=max_bytes)
    return FolderSource(path, captions, max_bytes=max_bytes)
