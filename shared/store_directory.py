"""The object store on a local directory: one file for each object, at its key."""

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from shared.durable_files import chunks_of, disk_errors, make_directory, place, place_if_absent, stage, sweep_staged
from shared.errors import BadConfiguration, NotFound
from shared.object_keys import check_key

# Staged files stand here, on the file system of their targets; keys can't reach it, for they refuse leading dots.
_INCOMING = ".incoming"

T = TypeVar("T")


class DirectoryStore:
    """`ObjectStore` below a root directory, which several processes may share on one machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._prepare)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def _prepare(self) -> None:
        try:
            make_directory(self._incoming)
            sweep_staged(self._incoming)
        except OSError as error:
            raise BadConfiguration(
                f"cannot keep objects in {self._root}: {error.strerror}; name another directory in SPIRAL_STORE_URL"
            ) from error
        if not os.access(self._incoming, os.W_OK | os.X_OK):
            raise BadConfiguration(f"cannot keep objects in {self._root}: not writable; name another directory in SPIRAL_STORE_URL")

    async def put_bytes(self, key: str, payload: bytes) -> None:
        """See `ObjectStore`."""
        await asyncio.to_thread(self._put, key, [payload], place)

    async def put_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """See `ObjectStore`."""

        def put() -> None:
            with _open(path) as file:
                self._put(key, chunks_of(file), place, sha256=sha256, what=str(path))

        await asyncio.to_thread(put)

    async def get_bytes(self, key: str) -> bytes:
        """See `ObjectStore`."""

        def get() -> bytes:
            with _open(self._path(key)) as file:
                return file.read()

        return await asyncio.to_thread(get)

    async def get_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """See `ObjectStore`."""

        def get() -> None:
            with _open(self._path(key)) as file:
                place(stage(chunks_of(file), path.parent, sha256=sha256, what=key), path)

        await asyncio.to_thread(get)

    async def create(self, key: str, payload: bytes) -> bool:
        """See `ObjectStore`; of several writers, exactly one gets True."""
        return await asyncio.to_thread(self._put, key, [payload], place_if_absent)

    async def stat(self, key: str) -> int | None:
        """See `ObjectStore`."""

        def size() -> int | None:
            path = self._path(key)
            return path.stat().st_size if path.is_file() else None

        return await asyncio.to_thread(size)

    async def keys(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""

        def walk() -> list[str]:
            parent = prefix.rpartition("/")[0]
            start = self._path(parent) if parent else self._root
            keys = []
            for folder, folders, files in os.walk(start):
                folders[:] = [name for name in folders if not name.startswith(".")]
                keys += [(Path(folder) / name).relative_to(self._root).as_posix() for name in files if not name.startswith(".")]
            return sorted(key for key in keys if key.startswith(prefix))

        return await asyncio.to_thread(walk)

    async def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _put(self, key: str, chunks: Iterable[bytes], land: Callable[[Path, Path], T], *, sha256: str | None = None, what: str = "") -> T:
        path = self._path(key)
        staged = stage(chunks, self._incoming, sha256=sha256, what=what)
        try:
            with disk_errors(self._root):
                make_directory(path.parent)
                return land(staged, path)
        finally:
            staged.unlink(missing_ok=True)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFound(f"there is no file {path}") from error
