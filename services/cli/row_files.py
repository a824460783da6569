"""Rows of a user's JSONL file, images as users name them, and faults that are told by row and column."""

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.cli.images import MAX_IMAGE_BYTES
from shared.errors import Rejected

MAX_FAULTS_SHOWN = 10


class Faults:
    """Collects the first faults, so that one reading of the file shows more than one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        self._num = 0

    def add(self, row: int, column: str, what: str) -> None:
        """Notes a fault; rows count from 1."""
        self._num += 1
        if len(self._lines) < MAX_FAULTS_SHOWN:
            self._lines.append(f"  {self._path.name}, row {row}, column {column!r}: {what}")

    def raise_any(self) -> None:
        """Raises what was noted.

        Raises:
            Rejected: there was a fault; the text tells the first of them and counts the others.
        """
        if self._num:
            rest = self._num - len(self._lines)
            more = [f"  ... and {rest} more"] if rest else []
            raise Rejected("\n".join([f"{self._path} has {self._num} fault(s):", *self._lines, *more]))


def jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with the numbers of their lines; empty lines are passed over.

    Raises:
        Rejected: a line holds no JSON object.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (UnicodeDecodeError, json.JSONDecodeError) as error:
                raise Rejected(f"{path}, row {number}: is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise Rejected(f"{path}, row {number}: holds {type(row).__name__}, not an object with columns")
            yield number, row


def image_bytes(value: Any, folder: Path) -> bytes | str:
    """The bytes that an image column stands for (bytes, `{"bytes": …}`, a data: URL, a path below the file's folder), or what is wrong."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        inner = value.get("bytes") or value.get("path")
        return image_bytes(inner, folder) if isinstance(inner, bytes | str) else "has neither 'bytes' nor 'path'"
    if not isinstance(value, str) or not value:
        return f"is {'empty' if not value else type(value).__name__}: give a path, a data: URL, or bytes"
    if value.startswith("data:"):
        try:
            return base64.b64decode(value.partition(",")[2], validate=True)
        except binascii.Error as error:
            return f"is not a base64 data: URL ({error})"
    if "://" in value:
        return f"is a URL ({value[:80]}): nothing is downloaded, so give a local path, a data: URL, or bytes"
    path = folder / value
    if not path.is_file():
        return f"names {path}, which is not a file (paths are relative to the file that names them)"
    if path.stat().st_size > MAX_IMAGE_BYTES:
        return f"names {path} of {path.stat().st_size:,} bytes, more than the cap of {MAX_IMAGE_BYTES:,}: scale it down"
    return path.read_bytes()
