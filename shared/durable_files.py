"""Files that stand whole or not at all: written beside their place, flushed to the disk, then moved in one step.

A process killed at any moment leaves at most a staged file, whose name starts with a dot and which nobody reads.
"""

import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shared.errors import DigestMismatch, OutOfSpace

CHUNK_BYTES = 1 << 20
STAGED_PREFIX = ".staged-"
_STALE_AFTER_S = 6 * 3600


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turns a full disk into an error that says so.

    Raises:
        OutOfSpace: the disk or the quota is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"the disk that holds {where} is full: free some space; the work is taken up again by itself") from error
        raise


def chunks_of(file: BinaryIO) -> Iterator[bytes]:
    """A file's bytes in pieces of bounded size."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def sha256_of(path: Path) -> tuple[str, int]:
    """A file's SHA-256 in hex and its size in bytes."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        for chunk in chunks_of(file):
            digest.update(chunk)
            num_bytes += len(chunk)
    return digest.hexdigest(), num_bytes


def stage(chunks: Iterable[bytes], directory: Path, *, sha256: str | None = None, what: str = "the file") -> Path:
    """Writes a new file in `directory` under a name of its own and flushes it to the disk.

    Args:
        chunks: the content.
        directory: an existing directory on the file system where the file will stand.
        sha256: the digest that the content must have, if any.
        what: what the content is, for messages.

    Raises:
        DigestMismatch: the content is another one; nothing is left behind.
        OutOfSpace: nothing is left behind either.
    """
    staged = directory / f"{STAGED_PREFIX}{uuid.uuid4().hex}"
    digest = hashlib.sha256()
    try:
        with disk_errors(directory), staged.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
                if sha256 is not None:
                    digest.update(chunk)
            file.flush()
            os.fsync(file.fileno())
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DigestMismatch(f"{what} should have SHA-256 {sha256} but has {digest.hexdigest()}: it was corrupted or replaced")
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return staged


def place(staged: Path, path: Path) -> None:
    """Moves a staged file to its place, over what stood there, for good."""
    os.replace(staged, path)
    flush_directory(path.parent)


def place_if_absent(staged: Path, path: Path) -> bool:
    """Moves a staged file to its place unless something stands there; says whether it did. Of several writers, one wins."""
    try:
        os.link(staged, path)
    except FileExistsError:
        return False
    finally:
        staged.unlink()
    flush_directory(path.parent)
    return True


def make_directory(path: Path) -> None:
    """Makes a directory and its parents, for good."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with disk_errors(path.parent), suppress(FileExistsError):
        path.mkdir()
    flush_directory(path.parent)


def flush_directory(path: Path) -> None:
    """Makes what was created or renamed in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_staged(directory: Path) -> None:
    """Removes the staged files and directories that killed processes left in a directory hours ago."""
    for staged in directory.glob(f"{STAGED_PREFIX}*"):
        with suppress(FileNotFoundError):
            if time.time() - staged.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(staged) if staged.is_dir() else staged.unlink()
