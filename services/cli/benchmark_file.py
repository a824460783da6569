"""Reads a benchmark's file, Parquet or JSONL, row by row: what nothing may be trained on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.cli.images import image_fault
from services.cli.row_files import Faults, image_bytes, jsonl_rows
from shared.benchmarks import BenchmarkItem
from shared.errors import Rejected

_ALIASES = {"image": ("images",), "question": ("problem",), "choices": ("options",), "answer": ("label",), "item_id": ("id", "index")}


class BenchmarkRow(BaseModel):
    """One row as benchmarks write them: an image, a question, or both. Other columns are passed over."""

    model_config = ConfigDict(extra="ignore")

    image: Any = None
    """As in a probe file, or a list of such: each image is an item of its own."""
    question: Annotated[str, Field(max_length=100_000)] = ""
    choices: tuple[str, ...] = ()
    answer: str = ""
    item_id: str = ""
    """The row's number where left out."""

    @field_validator("question", "answer", "item_id", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, list):
            # Of several answers that count, one names the item well enough.
            value = value[0] if value else None
        if value is None:
            return ""
        return str(value) if isinstance(value, int | float) else value

    @field_validator("choices", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        listed = list(value.values()) if isinstance(value, dict) else value
        return [str(each) for each in listed if each is not None] if isinstance(listed, list | tuple) else listed


class BenchmarkFile:
    """The items of a file; whoever iterates calls `check()` at the end."""

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            Rejected: no such file, not of a known format, or without a column for images or questions.
        """
        if not path.is_file():
            raise Rejected(f"{path} is not a file: name a Parquet or JSONL file of a benchmark's items")
        suffix = path.suffix.lower()
        if suffix not in (".parquet", ".jsonl", ".ndjson"):
            raise Rejected(f"{path} must end in .parquet or .jsonl")
        self._path = path
        self._faults = Faults(path)
        self._rows = _parquet_rows(path) if suffix == ".parquet" else jsonl_rows(path)

    def __iter__(self) -> Iterator[BenchmarkItem]:
        for number, fields in self._rows:
            yield from self._items(number, fields)

    def check(self) -> None:
        """Tells what was wrong with rows that were passed over.

        Raises:
            Rejected: with row and column.
        """
        self._faults.raise_any()

    def _items(self, number: int, fields: dict[str, Any]) -> Iterator[BenchmarkItem]:
        try:
            row = BenchmarkRow.model_validate(_named(fields))
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                self._faults.add(number, ".".join(str(part) for part in problem["loc"]), problem["msg"])
            return
        images = [each for each in (row.image if isinstance(row.image, list) else [row.image]) if each is not None]
        if not images and not row.question.strip():
            self._faults.add(number, "image", "neither an image nor a question stands in the row")
        for place, named in enumerate(images or [b""]):
            image = image_bytes(named, self._path.parent) if images else b""
            fault = image if isinstance(image, str) else image_fault(image) if images else None
            if isinstance(image, str) or fault is not None:
                self._faults.add(number, "image", str(fault))
                continue
            item_id = (row.item_id or str(number)) + (f" ({place + 1})" if len(images) > 1 else "")
            yield BenchmarkItem(item_id, image, row.question, row.choices, row.answer)


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    """A row's values under the names of `BenchmarkRow`."""
    named = dict(fields)
    for name, aliases in _ALIASES.items():
        if named.get(name) is None:
            named[name] = next((fields[alias] for alias in aliases if fields.get(alias) is not None), None)
    return {name: value for name, value in named.items() if value is not None}


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        table = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise Rejected(f"{path} is not a Parquet file: {error}") from error
    names = table.schema_arrow.names
    wanted = [name for name in names if name in {*_ALIASES, *(alias for aliases in _ALIASES.values() for alias in aliases)}]
    if not {"image", "images", "question", "problem"} & set(wanted):
        raise Rejected(f"{path} has neither a column 'image' nor a column 'question'; it has {names}")
    return _table_rows(table, wanted, path)


def _table_rows(table: pq.ParquetFile, wanted: list[str], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        for batch in table.iter_batches(batch_size=64, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Rejected(f"{path} can't be read from row {number + 1}: {error}") from error
