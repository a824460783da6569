"""What an operator says about an image besides its pixels: caption, source, licence, category, page."""

import csv
import json
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.domain import ImageCategory
from shared.errors import Rejected

FILE_COLUMNS = ("file", "file_name", "image")
"""What the column of file names may be called in a captions file; `file_name` is what Hugging Face's image folders have."""
MAX_CAPTION = 4000


class ImageDetails(BaseModel):
    """Details of one image; what nobody said is empty. Texts lose control characters and needless space."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_max_length=1_000_000)

    caption: str = Field(default="", validation_alias=AliasChoices("caption", "text"))
    source: str = ""
    licence: str = Field(default="", validation_alias=AliasChoices("licence", "license"))
    category: ImageCategory | None = None
    page_url: str = ""

    @field_validator("caption", "source", "licence", "page_url", mode="before")
    @classmethod
    def _as_plain_text(cls, value: Any, info: Any) -> Any:
        if value is None:
            return ""
        return plain_text(value, max_length=MAX_CAPTION if info.field_name == "caption" else 1000) if isinstance(value, str) else value

    @field_validator("category", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    def or_else(self, other: "ImageDetails") -> "ImageDetails":
        """These details, and the other's where these are silent."""
        return ImageDetails.model_construct(
            caption=self.caption or other.caption,
            source=self.source or other.source,
            licence=self.licence or other.licence,
            category=self.category or other.category,
            page_url=self.page_url or other.page_url,
        )


NO_DETAILS = ImageDetails()


def plain_text(text: str, *, max_length: int) -> str:
    """A text of others as one line without control and formatting characters, cut to a length."""
    kept = "".join(" " if character.isspace() else character for character in text if character.isspace() or character.isprintable())
    return " ".join(unicodedata.normalize("NFC", kept).split())[:max_length].rstrip()


def details_of(values: Mapping[str, Any]) -> ImageDetails:
    """The details that stand in a row.

    Raises:
        ValueError: one is of the wrong type, or the category is none of the twelve; the text names the column.
    """
    try:
        return ImageDetails.model_validate(values)
    except ValidationError as error:
        raise ValueError(
            "; ".join(f"column {problem['loc'][0]!r}: {problem['msg']}" for problem in error.errors(include_url=False, include_input=False))
        ) from None


def read_captions(path: Path) -> dict[str, ImageDetails]:
    """The details of a captions file by file name: JSONL with an object a line, or CSV with a header.

    A row names its image in the column `file` (or `file_name`, `image`), relative to the folder that is added, or by its bare name; the
    other columns are those of `ImageDetails`.

    Raises:
        Rejected: no such file, not of that format, or a fault, with its line.
    """
    if not path.is_file():
        raise Rejected(f"{path} is not a file: name a JSONL or CSV file of captions")
    read = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv}.get(path.suffix.lower())
    if read is None:
        raise Rejected(f"{path} must end in .jsonl or .csv")
    found: dict[str, ImageDetails] = {}
    try:
        for number, row in read(path):
            name = next((row[column] for column in FILE_COLUMNS if row.get(column)), None)
            if not isinstance(name, str):
                raise Rejected(f"{path}, line {number}: names no image; it needs a column {' or '.join(map(repr, FILE_COLUMNS))}")
            try:
                found[name.removeprefix("./")] = details_of({key: value for key, value in row.items() if key not in FILE_COLUMNS})
            except ValueError as error:
                raise Rejected(f"{path}, line {number}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Rejected(f"{path} can't be read: {error}") from error
    return found


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (UnicodeDecodeError, json.JSONDecodeError) as error:
                raise Rejected(f"{path}, line {number}: is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise Rejected(f"{path}, line {number}: holds {type(row).__name__}, not an object with columns")
            yield number, row


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if isinstance(key, str)}
