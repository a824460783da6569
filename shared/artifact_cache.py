"""Local copies of artifacts that several processes of a machine share: fetched and checked once, linked into directories."""

import asyncio
import errno
import os
import shutil
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from shared.domain import ArtifactRef
from shared.durable_files import STAGED_PREFIX, disk_errors, flush_directory, sweep_staged
from shared.in_parallel import in_parallel

_NUM_PARALLEL_FILES = 4
_READ_ONLY = 0o444

Fetch = Callable[[ArtifactRef, Path], Awaitable[Path]]


class ArtifactCache:
    """`blobs/<sha256>` holds checked files, `directories/<sha256 of the manifest>` directories of links to them.

    Both appear by one rename, so that what stands is whole, whoever fetched it and however many did at once.
    """

    def __init__(self, root: Path, fetch: Fetch) -> None:
        self._blobs, self._directories = root / "blobs", root / "directories"
        self._fetch = fetch

    async def directory(self, sha256: str) -> Path | None:
        """The directory of a manifest with that digest, or None where it was never fetched."""
        path = self._directories / sha256
        return path if await asyncio.to_thread(path.is_dir) else None

    async def fetch(self, sha256: str, files: Mapping[str, ArtifactRef]) -> Path:
        """Makes the directory of a manifest; raises what fetching raises, and then leaves nothing that looks complete."""
        await asyncio.to_thread(self._prepare)

        async def one(ref: ArtifactRef) -> None:
            blob = self._blobs / ref.sha256
            if not await asyncio.to_thread(blob.exists):
                await self._fetch(ref, blob)
                await asyncio.to_thread(blob.chmod, _READ_ONLY)

        # By digest: two files of equal content are one blob.
        await in_parallel(one, {ref.sha256: ref for ref in files.values()}.values(), limit=_NUM_PARALLEL_FILES)
        return await asyncio.to_thread(self._assemble, sha256, files)

    def _prepare(self) -> None:
        for directory in (self._blobs, self._directories):
            directory.mkdir(parents=True, exist_ok=True)
            sweep_staged(directory)

    def _assemble(self, sha256: str, files: Mapping[str, ArtifactRef]) -> Path:
        target = self._directories / sha256
        staged = self._directories / f"{STAGED_PREFIX}{uuid.uuid4().hex}"
        staged.mkdir()
        try:
            with disk_errors(staged):
                for name, ref in files.items():
                    path = staged / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    _link(self._blobs / ref.sha256, path)
            try:
                staged.rename(target)
                flush_directory(self._directories)
            except OSError as error:
                # Another process was faster; its copy is as good.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return target


def _link(blob: Path, path: Path) -> None:
    try:
        os.link(blob, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EXDEV):
            raise
        shutil.copy(blob, path)
