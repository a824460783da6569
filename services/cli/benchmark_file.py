"""Reads a benchmark's file, Parquet or JSONL, row by row: what nothing may be trained on.

Benchmarks come in many shapes. A picture that is overlooked would be trained on, so of Parquet every column counts that holds pictures by
its type, whatever its name.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.cli.images import image_fault
from services.cli.row_files import Faults, image_bytes, jsonl_rows
from shared.benchmarks import MAX_IMAGE_PIXELS, BenchmarkItem
from shared.errors import Rejected

_ALIASES = {
    "question": ("problem", "query"),
    "choices": ("options",),
    "answer": ("label", "answers", "gt_answer"),
    "item_id": ("id", "index", "question_id", "pid"),
}
_TEXTS = (*_ALIASES, *(alias for aliases in _ALIASES.values() for alias in aliases))
_PICTURE = re.compile(r"(?:decoded_)?images?(?:_\d+)?")


class BenchmarkRow(BaseModel):
    """One row as benchmarks write them: an image, a question, or both. Other columns are passed over."""

    model_config = ConfigDict(extra="ignore")

    image: list[Any] | None = None
    """Each as in a probe file, and an item of its own."""
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
        listed = list(value.values()) if isinstance(value, dict) else _listed(value) if isinstance(value, str) else value
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
        self._rows = _parquet_rows(path) if suffix == ".parquet" else _json_rows(path)

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
        images = row.image or []
        if not images and not row.question.strip():
            self._faults.add(number, "image", "neither an image nor a question stands in the row")
        for place, named in enumerate(images or [b""]):
            image = image_bytes(named, self._path.parent) if images else b""
            fault = image if isinstance(image, str) else image_fault(image, MAX_IMAGE_PIXELS) if images else None
            if isinstance(image, str) or fault is not None:
                self._faults.add(number, "image", str(fault))
                continue
            item_id = (row.item_id or str(number)) + (f" ({place + 1})" if len(images) > 1 else "")
            yield BenchmarkItem(item_id, image, row.question, row.choices, row.answer)


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    """A row's values under the names of `BenchmarkRow`."""
    named = {
        name: next((fields[key] for key in (name, *aliases) if fields.get(key) is not None), None) for name, aliases in _ALIASES.items()
    }
    named["image"] = [each for name, value in fields.items() if name not in _TEXTS for each in _pictures(value)]
    return {name: value for name, value in named.items() if value is not None}


def _pictures(value: Any) -> list[Any]:
    """The images of one column; a place without one holds null, also in its parts."""
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if each is not None and each != {"bytes": None, "path": None}]


def _listed(text: str) -> list[Any] | str:
    """A list that was written down as Python writes it, as MMMU does; any other text as it is."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, list) else text


def _picture_columns(names: Sequence[str]) -> list[str]:
    """Columns that are named as pictures are; decoded ones stand for paths to files that are elsewhere."""
    found = [name for name in names if _PICTURE.fullmatch(name)]
    return [name for name in found if f"decoded_{name}" not in found]


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, fields in jsonl_rows(path):
        wanted = {*_TEXTS, *_picture_columns([name for name, value in fields.items() if value is not None])}
        yield number, {name: value for name, value in fields.items() if name in wanted}


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        table = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise Rejected(f"{path} is not a Parquet file: {error}") from error
    schema = table.schema_arrow
    pictures = [field.name for field in schema if _holds_pictures(field.type)] or _picture_columns(schema.names)
    if not pictures and not {"question", *_ALIASES["question"]} & set(schema.names):
        raise Rejected(f"{path} has neither a column 'image' nor a column 'question'; it has {schema.names}")
    return _table_rows(table, [name for name in schema.names if name in _TEXTS or name in pictures], path)


def _holds_pictures(kind: pa.DataType) -> bool:
    """Bytes, or bytes with a path, or a list of these."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_pictures(kind.value_type)
    if pa.types.is_struct(kind):
        return {field.name for field in kind} == {"bytes", "path"}
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _table_rows(table: pq.ParquetFile, wanted: list[str], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        for batch in table.iter_batches(batch_size=64, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Rejected(f"{path} can't be read from row {number + 1}: {error}") from error
