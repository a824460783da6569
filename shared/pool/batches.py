"""Batches of the pool as they stand in the store: a manifest `pool/<digest>` that names `rows.parquet` and `refused.parquet`.

The rows name the images' and thumbnails' blobs, which stand before their batch is committed; the manifest's metadata counts both files.
"""

import hashlib
import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from shared.artifacts import Artifacts, blob_ref
from shared.domain import ArtifactRef, ImageCategory
from shared.errors import NotFound, Rejected
from shared.pool.pool_image import PoolImage
from shared.ports import Cause

PREFIX = "pool/"
ROWS_FILE, REFUSED_FILE = "rows.parquet", "refused.parquet"
DIGEST = pa.binary(32)

ROWS = pa.schema(
    [
        ("image_sha256", DIGEST),
        ("num_image_bytes", pa.int64()),
        ("thumbnail_sha256", DIGEST),
        ("num_thumbnail_bytes", pa.int64()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("caption", pa.string()),
        ("category", pa.string()),
        ("perceptual_hash", pa.uint64()),
        ("original_sha256", DIGEST),
        ("page_url", pa.string()),
        ("domain", pa.string()),
        ("origin", pa.string()),
    ]
)
REFUSED = pa.schema([("original_sha256", DIGEST), ("origin", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
_CATEGORIES = {category.value for category in ImageCategory}


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that is no image for the pool. `original_sha256` is empty where it could not even be read."""

    origin: str
    reason: str
    detail: str
    original_sha256: str = ""


def domain_of(url: str) -> str:
    """The host that an address names, without www; empty where it names none."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


async def commit_batch(artifacts: Artifacts, images: Sequence[PoolImage], refused: Sequence[RefusedFile]) -> str:
    """Makes images, whose blobs stand in the store, and refused files a part of the pool; returns the manifest's name.

    Raises:
        Retryable: the store is away.
    """
    rows, refusals = write_rows(images), write_refused(refused)
    name = PREFIX + hashlib.sha256(hashlib.sha256(rows).digest() + hashlib.sha256(refusals).digest()).hexdigest()
    files = {ROWS_FILE: await artifacts.put_bytes(rows), REFUSED_FILE: await artifacts.put_bytes(refusals)}
    cause = Cause(hashlib.sha256(f"operator/{name}".encode()).hexdigest(), time.time_ns())
    metadata = {"num_images": len(images), "refused": dict(sorted(Counter(file.reason for file in refused).items()))}
    await artifacts.commit(name, files, cause=cause, metadata=metadata)
    return name


@dataclass(frozen=True)
class Batch:
    """A committed batch as its manifest names it."""

    name: str
    rows: ArtifactRef
    refused: ArtifactRef
    num_refused: Mapping[str, int]
    """By reason."""


async def find_batch(artifacts: Artifacts, name: str) -> Batch:
    """The batch of a manifest that `Artifacts.names` listed.

    Raises:
        NotFound: it vanished.
        Rejected: it is no batch of the pool.
        Retryable: the store is away.
    """
    ref = await artifacts.find(name)
    if ref is None:
        raise NotFound(f"the manifest {name} vanished")
    manifest = await artifacts.manifest(ref)
    num_refused = manifest.metadata.get("refused")
    if ROWS_FILE not in manifest.files or REFUSED_FILE not in manifest.files or not isinstance(num_refused, dict):
        raise Rejected(f"the manifest {name} is no batch of the pool")
    return Batch(name, manifest.files[ROWS_FILE], manifest.files[REFUSED_FILE], num_refused)


def write_rows(images: Sequence[PoolImage]) -> bytes:
    """Images as Parquet, by origin: equal images give equal bytes."""
    rows = [
        {
            "image_sha256": bytes.fromhex(image.image_sha256),
            "num_image_bytes": image.image.num_bytes,
            "thumbnail_sha256": bytes.fromhex(image.thumbnail.sha256),
            "num_thumbnail_bytes": image.thumbnail.num_bytes,
            "width_px": image.width_px,
            "height_px": image.height_px,
            "source": image.source,
            "licence": image.licence,
            "caption": image.caption,
            "category": None if image.category is None else image.category.value,
            "perceptual_hash": image.perceptual_hash,
            "original_sha256": bytes.fromhex(image.original_sha256),
            "page_url": image.page_url,
            "domain": image.domain,
            "origin": image.origin,
        }
        for image in sorted(images, key=lambda image: (image.origin, image.original_sha256))
    ]
    return _write(rows, ROWS)


def read_rows(payload: bytes, where: str) -> pa.Table:
    """The table of a batch, with the columns of `ROWS`; only a category may be null.

    Raises:
        Rejected: it is no such table; the text names `where` and the column.
    """
    table = _read(payload, ROWS, where)
    for name in ROWS.names:
        if name != "category" and table.column(name).null_count:
            raise Rejected(f"{where}, column {name!r}: holds an empty value")
    unknown = set(table.column("category").unique().to_pylist()) - _CATEGORIES - {None}
    if unknown:
        raise Rejected(f"{where}, column 'category': {min(unknown)!r} is none of the twelve")
    return table


def image_of(table: pa.Table, at: int) -> PoolImage:
    """One row of a batch's table."""
    row: dict[str, Any] = {name: table.column(name)[at].as_py() for name in ROWS.names}
    return PoolImage(
        image_sha256=row["image_sha256"].hex(),
        image=blob_ref(row["image_sha256"].hex(), row["num_image_bytes"]),
        thumbnail=blob_ref(row["thumbnail_sha256"].hex(), row["num_thumbnail_bytes"]),
        width_px=row["width_px"],
        height_px=row["height_px"],
        source=row["source"],
        licence=row["licence"],
        caption=row["caption"],
        category=None if row["category"] is None else ImageCategory(row["category"]),
        perceptual_hash=row["perceptual_hash"],
        original_sha256=row["original_sha256"].hex(),
        page_url=row["page_url"],
        domain=row["domain"],
        origin=row["origin"],
    )


def write_refused(refused: Sequence[RefusedFile]) -> bytes:
    """Refused files as Parquet, by origin; those that could not be read have no digest."""
    rows = [
        {
            "original_sha256": bytes.fromhex(file.original_sha256) if file.original_sha256 else None,
            "origin": file.origin,
            "reason": file.reason,
            "detail": file.detail,
        }
        for file in sorted(refused, key=lambda file: (file.origin, file.original_sha256))
    ]
    return _write(rows, REFUSED)


def read_refused(payload: bytes, where: str) -> pa.Table:
    """The table of a batch's refused files, with the columns of `REFUSED`.

    Raises:
        Rejected: it is no such table; the text names `where` and the column.
    """
    return _read(payload, REFUSED, where)


def _write(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _read(payload: bytes, schema: pa.Schema, where: str) -> pa.Table:
    try:
        table = pq.read_table(io.BytesIO(payload))
        missing = [name for name in schema.names if name not in table.schema.names]
        if missing:
            raise Rejected(f"{where} lacks the column(s) {', '.join(map(repr, missing))}; it has {table.schema.names}")
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise Rejected(f"{where} is no table of the pool: {error}") from error
