"""Registered benchmarks: sets of questions that nothing may be trained on, as manifests `benchmarks/<name>` in the object store.

An item has an image, a question, or both. The console registers them, quality keeps samples apart from them.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import Rejected

PREFIX = "benchmarks/"
MAX_IMAGE_PIXELS = 64_000_000
"""Of an item's image. More than of a probe's: no model is asked about it."""

ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("image", pa.binary()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class BenchmarkItem:
    """One question of a benchmark; `image` is empty where it has none, and so are the texts."""

    item_id: str
    image: bytes
    question: str
    choices: tuple[str, ...]
    answer: str


def benchmark_name(name: str) -> str:
    """The manifest of a benchmark."""
    return f"{PREFIX}{name}"


def part_path(number: int) -> str:
    """The file of a benchmark's part, from 0; parts follow each other in the order of their paths."""
    return f"part-{number:05d}.parquet"


def write_items(items: Sequence[BenchmarkItem]) -> bytes:
    """A part of a benchmark as Parquet; equal items give equal bytes."""
    rows = [
        {"item_id": item.item_id, "image": item.image, "question": item.question, "choices": list(item.choices), "answer": item.answer}
        for item in items
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), sink, compression="zstd")
    return sink.getvalue()


def read_items(payload: bytes, source: str) -> Iterator[BenchmarkItem]:
    """The items of `write_items`.

    Raises:
        Rejected: it is no such file; the text names `source`.
    """
    try:
        rows: Iterable[dict[str, object]] = pq.read_table(io.BytesIO(payload), schema=ITEMS).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise Rejected(f"{source} is no part of a benchmark: {error}") from error
    for row in rows:
        yield BenchmarkItem(**row | {"choices": tuple(row["choices"])})  # type: ignore[arg-type]
