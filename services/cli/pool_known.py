"""What the pool's batches already hold, so that an add that is begun again goes on where the last one ended."""

import asyncio
from dataclasses import dataclass, field

import pyarrow as pa

from shared.artifacts import Artifacts
from shared.in_parallel import in_parallel
from shared.pool.batches import PREFIX, find_batch, read_refused, read_rows

_NUM_PARALLEL_BATCHES = 8


@dataclass
class KnownFiles:
    """Digests (SHA-256) of what was looked at before; about 100 bytes of memory for each of them."""

    originals: set[bytes] = field(default_factory=set)
    """Of files that were taken in."""
    images: set[bytes] = field(default_factory=set)
    """Of the images that they became."""
    origins: set[str] = field(default_factory=set)
    """Origins that name their very bytes."""
    refused: set[bytes] = field(default_factory=set)
    """Of files that were refused."""

    @classmethod
    async def read(cls, artifacts: Artifacts) -> "KnownFiles":
        """Reads all batches.

        Raises:
            Retryable: the store is away.
            Rejected: a batch is damaged.
        """
        known = cls()

        async def one(name: str) -> None:
            batch = await find_batch(artifacts, name)
            rows = read_rows(await artifacts.read_bytes(batch.rows), name)
            known.originals |= _digests(rows, "original_sha256")
            known.images |= _digests(rows, "image_sha256")
            known.origins |= {origin for origin in rows.column("origin").to_pylist() if "?etag=" in origin}
            if batch.num_refused:
                known.refused |= _digests(read_refused(await artifacts.read_bytes(batch.refused), name), "original_sha256")
            await asyncio.sleep(0)

        await in_parallel(one, await artifacts.names(PREFIX), limit=_NUM_PARALLEL_BATCHES)
        return known


def _digests(table: pa.Table, column: str) -> set[bytes]:
    return set(table.column(column).to_pylist())
