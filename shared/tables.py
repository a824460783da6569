"""The Parquet tables that cross rooms: probes, answers, candidates and training samples, with their columns.

Reading names the file, row and column of the first fault; a reader never guesses a missing value.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.domain import Candidate, Cell, ErrorType, ImageCategory, QuestionType, Recipe
from shared.errors import Rejected
from shared.prompt import conversation, render_question

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_QUESTION_COLUMNS = [
    ("category", pa.string()),
    ("question_type", pa.string()),
    ("question", pa.string()),
    ("choices", pa.list_(pa.string())),
    ("answer", pa.string()),
    ("tolerance", pa.float64()),
]

PROBES = pa.schema([("probe_id", pa.string()), ("split", pa.string()), ("image", pa.binary()), *_QUESTION_COLUMNS])
CANDIDATES = pa.schema(
    [("candidate_id", pa.string()), ("image", pa.binary()), *_QUESTION_COLUMNS, ("scene", pa.string()), ("provenance", pa.string())]
)
ANSWERS = pa.schema(
    [
        ("probe_id", pa.string()),
        ("split", pa.string()),
        ("category", pa.string()),
        ("question_type", pa.string()),
        ("sample_index", pa.int32()),
        ("is_greedy", pa.bool_()),
        ("completion", pa.string()),
        ("extracted", pa.string()),
        ("reference", pa.string()),
        ("outcome", pa.string()),
        ("error_type", pa.string()),
    ]
)
SAMPLES = pa.schema(
    [
        ("sample_id", pa.string()),
        ("images", pa.list_(_IMAGE)),
        ("prompt", pa.string()),
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("category", pa.string()),
        ("question_type", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("tolerance", pa.float64()),
        ("recipe", pa.string()),
        ("pass_rate", pa.float64()),
        ("iteration", pa.int32()),
        ("lease_id", pa.string()),
        ("scene", pa.string()),
        ("provenance", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Probe:
    """A question that tests a model. `split` is "core", "fresh-<iteration>" or "exam"."""

    probe_id: str
    split: str
    cell: Cell
    image: bytes
    question: str
    choices: tuple[str, ...]
    answer: str
    tolerance: float


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One graded answer. `outcome` is "correct", "incorrect", "ungradable" or "failed" (could not be asked).

    Greedy answers have sample_index 0; sampled ones count from 1. `extracted` and `error_type` are None where there is none.
    """

    probe_id: str
    split: str
    cell: Cell
    sample_index: int
    is_greedy: bool
    completion: str
    extracted: str | None
    reference: str
    outcome: str
    error_type: ErrorType | None


@dataclass(frozen=True, slots=True)
class Sample:
    """An accepted candidate as training material. `pass_rate` is None where the policy was not asked."""

    sample_id: str
    cell: Cell
    image: bytes
    question: str
    choices: tuple[str, ...]
    answer: str
    tolerance: float
    recipe: Recipe
    pass_rate: float | None
    iteration: int
    lease_id: str
    scene: str
    provenance: str


def _question_values(row: Probe | Candidate | Sample) -> dict[str, object]:
    return {
        "category": row.cell.category.value,
        "question_type": row.cell.question_type.value,
        "choices": list(row.choices),
        "answer": row.answer,
        "tolerance": row.tolerance,
    }


def _write(rows: Sequence[dict[str, object]], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), sink, compression="zstd", row_group_size=1024)
    return sink.getvalue()


def _rows(payload: bytes, schema: pa.Schema, source: str, nullable: frozenset[str]) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        table = pq.ParquetFile(io.BytesIO(payload))
    except (pa.ArrowInvalid, OSError) as error:
        raise Rejected(f"{source} is not a Parquet file: {error}") from error
    for field in schema:
        index = table.schema_arrow.get_field_index(field.name)
        if index < 0:
            raise Rejected(f"{source} lacks the column {field.name!r}; it has {table.schema_arrow.names}")
        if not _plain(table.schema_arrow.field(index).type).equals(field.type):
            raise Rejected(f"{source}: column {field.name!r} is {table.schema_arrow.field(index).type}, not {field.type}")
    number = 0
    try:
        for batch in table.iter_batches(batch_size=512, columns=schema.names):
            for row in batch.to_pylist():
                for name, value in row.items():
                    if value is None and name not in nullable:
                        raise Rejected(f"{source}, row {number}, column {name!r}: is empty")
                    if isinstance(value, list) and None in value:
                        raise Rejected(f"{source}, row {number}, column {name!r}: holds an empty value")
                yield f"{source}, row {number}", row
                number += 1
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise Rejected(f"{source} can't be read from row {number}: {error}") from error


def _plain(found: pa.DataType) -> pa.DataType:
    """A type without the width of its offsets: pandas and polars write large strings where others write strings."""
    if pa.types.is_list(found) or pa.types.is_large_list(found):
        return pa.list_(_plain(found.value_type))
    return {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}.get(found, found)


def _cell(row: dict[str, Any], where: str) -> Cell:
    try:
        return Cell(ImageCategory(row["category"]), QuestionType(row["question_type"]))
    except ValueError as error:
        raise Rejected(f"{where}: {error}") from error


def _recipe(row: dict[str, Any], where: str) -> Recipe:
    try:
        return Recipe(row["recipe"])
    except ValueError as error:
        raise Rejected(f"{where}, column 'recipe': {error}") from error


def _first_image(row: dict[str, Any], where: str) -> bytes:
    """The image of a sample; one that is named by path alone lies outside the file, and outside its digest."""
    images = row["images"]
    if not images or images[0] is None or not images[0]["bytes"]:
        raise Rejected(f"{where}, column 'images': holds no image bytes")
    return bytes(images[0]["bytes"])


def write_probes(probes: Sequence[Probe]) -> bytes:
    """Probes as Parquet."""
    return _write(
        [{"probe_id": p.probe_id, "split": p.split, "image": p.image, "question": p.question, **_question_values(p)} for p in probes],
        PROBES,
    )


def read_probes(payload: bytes, source: str) -> list[Probe]:
    """Probes from Parquet.

    Raises:
        Rejected: with file, row and column.
    """
    return [
        Probe(
            probe_id=row["probe_id"],
            split=row["split"],
            cell=_cell(row, where),
            image=row["image"],
            question=row["question"],
            choices=tuple(row["choices"]),
            answer=row["answer"],
            tolerance=row["tolerance"],
        )
        for where, row in _rows(payload, PROBES, source, frozenset())
    ]


def write_candidates(candidates: Sequence[Candidate]) -> bytes:
    """Candidates as Parquet."""
    return _write(
        [
            {
                "candidate_id": c.candidate_id,
                "image": c.image,
                "question": c.question,
                "scene": c.scene,
                "provenance": c.provenance,
                **_question_values(c),
            }
            for c in candidates
        ],
        CANDIDATES,
    )


def read_candidates(payload: bytes, source: str) -> list[Candidate]:
    """Candidates from Parquet; their contents are untrusted until quality has checked them.

    Raises:
        Rejected: with file, row and column.
    """
    return [
        Candidate(
            candidate_id=row["candidate_id"],
            cell=_cell(row, where),
            image=row["image"],
            question=row["question"],
            choices=tuple(row["choices"]),
            answer=row["answer"],
            tolerance=row["tolerance"],
            scene=row["scene"],
            provenance=row["provenance"],
        )
        for where, row in _rows(payload, CANDIDATES, source, frozenset())
    ]


def write_answers(answers: Sequence[AnswerRow]) -> bytes:
    """Graded answers as Parquet."""
    return _write(
        [
            {
                "probe_id": a.probe_id,
                "split": a.split,
                "category": a.cell.category.value,
                "question_type": a.cell.question_type.value,
                "sample_index": a.sample_index,
                "is_greedy": a.is_greedy,
                "completion": a.completion,
                "extracted": a.extracted,
                "reference": a.reference,
                "outcome": a.outcome,
                "error_type": a.error_type.value if a.error_type else None,
            }
            for a in answers
        ],
        ANSWERS,
    )


def read_answers(payload: bytes, source: str) -> list[AnswerRow]:
    """Graded answers from Parquet.

    Raises:
        Rejected: with file, row and column.
    """
    return [
        AnswerRow(
            probe_id=row["probe_id"],
            split=row["split"],
            cell=_cell(row, where),
            sample_index=row["sample_index"],
            is_greedy=row["is_greedy"],
            completion=row["completion"],
            extracted=row["extracted"],
            reference=row["reference"],
            outcome=row["outcome"],
            error_type=ErrorType(row["error_type"]) if row["error_type"] else None,
        )
        for where, row in _rows(payload, ANSWERS, source, frozenset({"extracted", "error_type"}))
    ]


def write_samples(samples: Sequence[Sample]) -> bytes:
    """Training samples as Parquet, with `images` and `prompt` as TRL, verl and EasyR1 read them."""
    return _write(
        [
            {
                "sample_id": s.sample_id,
                "images": [{"bytes": s.image, "path": None}],
                "prompt": json.dumps(conversation(render_question(s.question, s.cell.question_type, s.choices))),
                "problem": s.question,
                "recipe": s.recipe.value,
                "pass_rate": s.pass_rate,
                "iteration": s.iteration,
                "lease_id": s.lease_id,
                "scene": s.scene,
                "provenance": s.provenance,
                **_question_values(s),
            }
            for s in samples
        ],
        SAMPLES,
    )


def read_samples(payload: bytes, source: str) -> list[Sample]:
    """Training samples from Parquet.

    Raises:
        Rejected: with file, row and column.
    """
    return [
        Sample(
            sample_id=row["sample_id"],
            cell=_cell(row, where),
            image=_first_image(row, where),
            question=row["problem"],
            choices=tuple(row["choices"]),
            answer=row["answer"],
            tolerance=row["tolerance"],
            recipe=_recipe(row, where),
            pass_rate=row["pass_rate"],
            iteration=row["iteration"],
            lease_id=row["lease_id"],
            scene=row["scene"],
            provenance=row["provenance"],
        )
        for where, row in _rows(payload, SAMPLES, source, frozenset({"pass_rate"}))
    ]
