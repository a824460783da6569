"""Images in a Parquet file."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.cli.pool_details import ImageDetails, details_of
from services.cli.pool_source_files import read_file
from services.cli.pool_sources import BAD_DETAILS, UNREADABLE, Found, Unusable
from shared.errors import Rejected

_ROWS_AT_A_TIME = 32
_DETAIL_COLUMNS = ("caption", "text", "source", "licence", "license", "category", "page_url")


class ParquetSource:
    """The rows of a Parquet file with a column `image`: bytes, or bytes and path as Hugging Face's datasets write them.

    A path without bytes is relative to the file and stays below its folder.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Opens the file.

        Raises:
            Rejected: it is no Parquet file, or has no images.
        """
        self._path, self._max_bytes = path.resolve(), max_bytes
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise Rejected(f"{path} is not a Parquet file: {error}") from error
        names = self._file.schema_arrow.names
        if "image" not in names:
            raise Rejected(f"{path} lacks the column 'image'; it has {names}")
        self._columns = ["image", *(name for name in _DETAIL_COLUMNS if name in names)]

    @property
    def name(self) -> str:
        """See `Source`."""
        return self._path.stem

    @property
    def may_know_licences(self) -> bool:
        """See `Source`."""
        return "licence" in self._columns or "license" in self._columns

    async def count(self) -> int:
        """See `Source`."""
        return int(self._file.metadata.num_rows)

    async def found(self) -> AsyncIterator[Found]:
        """See `Source`; where the file is damaged, what stands before the damage."""
        rows = self._rows()
        while (row := await asyncio.to_thread(next, rows, None)) is not None:
            number, values = row
            yield Found(f"{self._path.name}, row {number}", partial(self._read, values))

    def _rows(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        number = 0
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=self._columns):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            yield number + 1, f"the file can't be read from here on: {error}"

    async def _read(self, values: dict[str, Any] | str) -> tuple[bytes, ImageDetails]:
        if isinstance(values, str):
            raise Unusable(UNREADABLE, values)
        try:
            details = details_of({key: value for key, value in values.items() if key != "image"})
        except ValueError as error:
            raise Unusable(BAD_DETAILS, str(error)) from error
        return await asyncio.to_thread(self._payload, values["image"]), details

    def _payload(self, image: Any) -> bytes:
        if isinstance(image, dict):
            image = image.get("bytes") or image.get("path")
        if isinstance(image, bytes) and image:
            return image
        if not isinstance(image, str) or not image:
            raise Unusable(UNREADABLE, "holds no image: neither bytes nor a path")
        path = (self._path.parent / image).resolve()
        if not path.is_relative_to(self._path.parent):
            raise Unusable(UNREADABLE, f"names {image!r}, which lies outside the file's folder")
        return read_file(path, self._max_bytes)
