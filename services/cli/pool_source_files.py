"""Images in a folder."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path

from services.cli.pool_details import MAX_CAPTION, NO_DETAILS, ImageDetails, plain_text
from services.cli.pool_sources import MAX_SIDECAR_BYTES, UNREADABLE, Found, Unusable, is_image_name, said_of
from shared.domain import RejectionReason


class FolderSource:
    """All files below a folder, or one file; folders behind symbolic links are left out.

    A text file of an image's name, `cat.txt` beside `cat.jpg`, is its caption where no captions file has one.
    """

    def __init__(self, root: Path, captions: Mapping[str, ImageDetails], *, max_bytes: int) -> None:
        self._root = root.resolve()
        self._captions = captions
        self._max_bytes = max_bytes

    @property
    def name(self) -> str:
        """See `Source`."""
        return self._root.name

    @property
    def may_know_licences(self) -> bool:
        """See `Source`."""
        return any(details.licence for details in self._captions.values())

    async def count(self) -> int:
        """See `Source`."""
        return await asyncio.to_thread(lambda: sum(1 for _ in self._walk()))

    async def found(self) -> AsyncIterator[Found]:
        """See `Source`; folders come behind their files."""
        entries = self._walk()
        while (entry := await asyncio.to_thread(next, entries, None)) is not None:
            path, fault = entry
            origin = path.name if path == self._root else path.relative_to(self._root).as_posix()
            yield Found(origin, partial(self._read, path, origin, fault))

    def _walk(self) -> Iterator[tuple[Path, str]]:
        """Paths that may be images, and folders that can't be listed with the reason."""
        if not self._root.is_dir():
            yield self._root, ""
            return
        folders = [self._root]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield folder, f"the folder can't be listed: {error.strerror}"
                continue
            below = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below += [] if entry.name.startswith(".") else [folder / entry.name]
                elif is_image_name(entry.name):
                    yield folder / entry.name, ""
            folders += reversed(below)

    async def _read(self, path: Path, origin: str, fault: str) -> tuple[bytes, ImageDetails]:
        if fault:
            raise Unusable(UNREADABLE, fault)
        payload, caption = await asyncio.to_thread(_contents, path, self._max_bytes)
        beside = NO_DETAILS if not caption else ImageDetails(caption=caption)
        return payload, said_of(self._captions, origin).or_else(beside)


def _contents(path: Path, max_bytes: int) -> tuple[bytes, str]:
    payload = read_file(path, max_bytes)
    try:
        caption = read_file(path.with_suffix(".txt"), MAX_SIDECAR_BYTES).decode(errors="replace")
    except Unusable:
        caption = ""
    return payload, plain_text(caption, max_length=MAX_CAPTION)


def read_file(path: Path, max_bytes: int) -> bytes:
    """A regular file's bytes.

    Raises:
        Unusable: it can't be read, is larger, or is something else.
    """
    try:
        # A pipe would wait for its writer; what else blocks is no regular file either.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise Unusable(UNREADABLE, "is no regular file")
            payload = file.read(max_bytes + 1)
    except OSError as error:
        raise Unusable(UNREADABLE, error.strerror or str(error)) from error
    if len(payload) > max_bytes:
        size = max(about.st_size, len(payload))
        raise Unusable(RejectionReason.IMAGE_TOO_LARGE.value, f"{size:,} bytes are more than the cap of {max_bytes:,}")
    return payload
