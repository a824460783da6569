"""Reads a user's probe file, Parquet or JSONL; every fault is named by file, row and column before anything is uploaded."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.cli.images import MAX_IMAGE_PIXELS, image_fault
from services.cli.row_files import Faults, image_bytes, jsonl_rows
from shared.answers import check_reference
from shared.domain import Cell, ImageCategory, QuestionType
from shared.errors import Rejected
from shared.prompt import LETTERS
from shared.tables import Probe

DEFAULT_CATEGORY = ImageCategory.MIXED


class ProbeRow(BaseModel):
    """One row as a user writes it. `choices` belong to multiple_choice; its answer is a letter, or the text of one choice."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    image: Any
    question: Annotated[str, Field(min_length=1, max_length=4000)]
    question_type: QuestionType
    answer: Annotated[str, Field(min_length=1, max_length=400)]
    category: ImageCategory = DEFAULT_CATEGORY
    choices: Annotated[tuple[str, ...], Field(max_length=len(LETTERS))] = ()
    tolerance: Annotated[float, Field(ge=0)] = 0.0

    @field_validator("answer", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("must be a finite number")
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("category", "choices", "tolerance", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value


def read_probe_file(path: Path, *, max_pixels: int = MAX_IMAGE_PIXELS) -> list[Probe]:
    """The probes of a file, in its order, with an empty split; rows count from 1.

    Args:
        path: `.parquet`, or `.jsonl` / `.ndjson` with one object a line.
        max_pixels: cap on an image's width × height.

    Raises:
        Rejected: no such file, not of that format, no rows, or faults, each with row and column.
    """
    if not path.is_file():
        raise Rejected(f"{path} is not a file: name a Parquet or JSONL file of probes")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        rows = _parquet_rows(path)
    elif suffix in (".jsonl", ".ndjson"):
        rows = jsonl_rows(path)
    else:
        raise Rejected(f"{path} must end in .parquet or .jsonl")
    faults = Faults(path)
    probes: list[Probe] = []
    first_seen: dict[str, int] = {}
    for number, fields in rows:
        probe = _probe(number, fields, path.parent, max_pixels, faults)
        if probe is None:
            continue
        earlier = first_seen.setdefault(probe.probe_id, number)
        if earlier != number:
            faults.add(number, "question", f"the same image, question and choices as row {earlier}: a probe counts once")
        probes.append(probe)
    faults.raise_any()
    if not probes:
        raise Rejected(f"{path} holds no probes: it needs at least two rows, one to decide by and one for the exam")
    return probes


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        table = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise Rejected(f"{path} is not a Parquet file: {error}") from error
    names = table.schema_arrow.names
    missing = [name for name, field in ProbeRow.model_fields.items() if field.is_required() and name not in names]
    if missing:
        raise Rejected(f"{path} lacks the column(s) {', '.join(map(repr, missing))}; it has {names}")
    wanted = [name for name in ProbeRow.model_fields if name in names]
    number = 0
    for batch in table.iter_batches(batch_size=128, columns=wanted):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _probe(number: int, fields: dict[str, Any], folder: Path, max_pixels: int, faults: Faults) -> Probe | None:
    try:
        row = ProbeRow.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            faults.add(number, ".".join(str(part) for part in problem["loc"]), problem["msg"])
        return None
    image = image_bytes(row.image, folder)
    fault = image if isinstance(image, str) else image_fault(image, max_pixels)
    if isinstance(image, str) or fault is not None:
        faults.add(number, "image", str(fault))
        return None
    answer = _letter(row)
    fault = check_reference(question_type=row.question_type, answer=answer, choices=row.choices, tolerance=row.tolerance)
    if fault is not None:
        faults.add(number, "answer", fault)
        return None
    digest = hashlib.sha256()
    for part in (image, row.question.encode(), *(choice.encode() for choice in row.choices)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return Probe(
        probe_id=digest.hexdigest()[:24],
        split="",
        cell=Cell(row.category, row.question_type),
        image=image,
        question=row.question,
        choices=row.choices,
        answer=answer,
        tolerance=row.tolerance,
    )


def _letter(row: ProbeRow) -> str:
    """The reference answer, as the letter of the choice where a user wrote out the choice."""
    is_choice = row.question_type is QuestionType.MULTIPLE_CHOICE and row.choices.count(row.answer) == 1
    is_letter = row.answer in LETTERS[: len(row.choices)] and row.answer != ""
    return LETTERS[row.choices.index(row.answer)] if is_choice and not is_letter else row.answer
