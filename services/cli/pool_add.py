"""`spiral pool add`: looks at every image of a source once, takes in what is sound, and says of the rest why not."""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from services.cli.pool_decoders import Decoders
from services.cli.pool_details import ImageDetails
from services.cli.pool_known import KnownFiles
from services.cli.pool_sources import Found, Source, Unusable
from shared.artifacts import Artifacts
from shared.domain import RejectionReason
from shared.in_parallel import in_parallel
from shared.pool.batches import RefusedFile, commit_batch, domain_of
from shared.pool.pool_image import PoolImage

MAX_BATCH = 500
COMMIT_EVERY_S = 15.0
_AT_ONCE_PER_DECODER = 4


@dataclass(slots=True)
class Tally:
    """How far an add is."""

    num_looked_at: int = 0
    num_added: int = 0
    num_known: int = 0
    """Files that the pool holds already."""
    num_repeated: int = 0
    """Other files that become an image which the pool holds already."""
    refused: Counter[str] = field(default_factory=Counter)
    num_bytes_read: int = 0
    num_bytes_stored: int = 0


class RefusalReport:
    """A JSONL file with a line for each refused file; it replaces the former one once there is something to write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, refused: RefusedFile) -> None:
        """Writes a line."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A killed add leaves whole lines.
            self._file = self.path.open("w", encoding="utf-8", buffering=1)
        row = {"file": refused.origin, "reason": refused.reason, "detail": refused.detail, "sha256": refused.original_sha256}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


class PoolAdd:
    """One add. Files are looked at side by side; what was taken in is committed in batches, so a kill loses no more than one."""

    def __init__(
        self, artifacts: Artifacts, known: KnownFiles, decoders: Decoders, details: ImageDetails, report: RefusalReport, tally: Tally
    ) -> None:
        """Describes an add.

        Args:
            artifacts: where the pool stands.
            known: what it holds already; kept up to date.
            decoders: who decodes.
            details: what is true of every image about which the source says nothing else.
            report: told of every refusal.
            tally: kept up to date.
        """
        self._artifacts, self._known, self._decoders, self._details = artifacts, known, decoders, details
        self._report, self.tally = report, tally
        self._images: list[PoolImage] = []
        self._refused: list[RefusedFile] = []
        self._under_way: dict[bytes, asyncio.Event] = {}
        self._committing = asyncio.Lock()
        self._committed_at = time.monotonic()

    async def run(self, source: Source, *, limit: int | None = None) -> None:
        """Looks at all of a source, or its first so many; cancelled, it still commits what it took in.

        Raises:
            Retryable: the store or the source is away. What was committed stands.
        """
        num_at_once = _AT_ONCE_PER_DECODER * self._decoders.num_processes
        async with aclosing(_first(source, limit)) as found:
            taking = asyncio.Lock()

            async def work(_: int) -> None:
                while True:
                    async with taking:
                        file = await anext(found, None)
                    if file is None:
                        return
                    await self._look_at(file)

            try:
                await in_parallel(work, range(num_at_once), limit=num_at_once)
            finally:
                await self._commit()

    async def _look_at(self, found: Found) -> None:
        self.tally.num_looked_at += 1
        digest = b""
        try:
            if found.is_fixed and found.origin in self._known.origins:
                self.tally.num_known += 1
                return
            payload, said = await found.read()
            self.tally.num_bytes_read += len(payload)
            digest = hashlib.sha256(payload).digest()
            while (other := self._under_way.get(digest)) is not None:
                await other.wait()
            if digest in self._known.originals:
                self.tally.num_known += 1
                return
            self._under_way[digest] = asyncio.Event()
            try:
                await self._take_in(found, payload, digest, said.or_else(self._details))
            finally:
                self._under_way.pop(digest).set()
        except Unusable as refusal:
            self._refuse(RefusedFile(found.origin, refusal.reason, refusal.detail, digest.hex()))
        if len(self._images) + len(self._refused) >= MAX_BATCH or time.monotonic() - self._committed_at > COMMIT_EVERY_S:
            await self._commit()

    async def _take_in(self, found: Found, payload: bytes, digest: bytes, details: ImageDetails) -> None:
        if not details.licence:
            raise Unusable(RejectionReason.LICENCE.value, "nobody says its licence: name one for all such files with --licence")
        taken = await self._decoders.take_in(payload)
        image = await self._artifacts.put_bytes(taken.image)
        if bytes.fromhex(image.sha256) in self._known.images:
            self.tally.num_repeated += 1
            return
        self._known.images.add(bytes.fromhex(image.sha256))
        thumbnail = await self._artifacts.put_bytes(taken.thumbnail)
        self._images.append(
            PoolImage(
                image_sha256=image.sha256,
                image=image,
                thumbnail=thumbnail,
                width_px=taken.width_px,
                height_px=taken.height_px,
                source=details.source,
                licence=details.licence,
                caption=details.caption,
                category=details.category,
                perceptual_hash=taken.perceptual_hash,
                original_sha256=digest.hex(),
                page_url=details.page_url,
                domain=domain_of(details.page_url or details.source),
                origin=found.origin,
            )
        )
        self._known.originals.add(digest)
        self.tally.num_added += 1
        self.tally.num_bytes_stored += image.num_bytes + thumbnail.num_bytes

    def _refuse(self, refused: RefusedFile) -> None:
        self.tally.refused[refused.reason] += 1
        self._report.add(refused)
        digest = bytes.fromhex(refused.original_sha256)
        # What could not even be read says nothing of an image, and may be readable tomorrow.
        if digest and digest not in self._known.refused:
            self._known.refused.add(digest)
            self._refused.append(refused)

    async def _commit(self) -> None:
        async with self._committing:
            images, refused = self._images, self._refused
            self._images, self._refused = [], []
            self._committed_at = time.monotonic()
            if images or refused:
                await commit_batch(self._artifacts, images, refused)


async def _first(source: Source, limit: int | None) -> AsyncGenerator[Found, None]:
    num_found = 0
    if limit == 0:
        return
    async for found in source.found():
        yield found
        num_found += 1
        if num_found == limit:
            return
