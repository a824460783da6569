"""The pool's rows in memory: a few immutable segments, each with its table, hashes and word index."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shared.domain import ImageCategory
from shared.images.perceptual_hash import Hashes
from shared.pool.batches import ROWS
from shared.pool.caption_index import CaptionIndex

MAX_MERGED_ROWS = 400_000
_CODES = {category.value: code for code, category in enumerate(ImageCategory)}
_NO_CATEGORY = -1
_WORD_COLUMNS = ("caption", "category", "source", "domain", "origin")

Codes = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]


class Segment:
    """Consecutive rows, indexed."""

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        """Indexes the rows of some tables with the columns of `ROWS`, in order."""
        self.table: pa.Table = pa.concat_tables(tables).combine_chunks() if tables else ROWS.empty_table()
        self.hashes: Hashes = self.table.column("perceptual_hash").to_numpy()
        self._categories: Codes = np.array(
            [_CODES.get(category, _NO_CATEGORY) for category in self.table.column("category").to_pylist()], dtype=np.int8
        )
        columns = [self.table.column(name).to_pylist() for name in _WORD_COLUMNS]
        self.words = CaptionIndex(map(_words, *columns))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def is_of(self, category: ImageCategory | None) -> Mask:
        """Which rows are of a category; for None, those that nobody put into one."""
        mask: Mask = self._categories == (_NO_CATEGORY if category is None else _CODES[category.value])
        return mask


def with_rows(segments: Sequence[Segment], tables: Sequence[pa.Table]) -> tuple[Segment, ...]:
    """The segments and behind them the new rows.

    A segment that is not much larger than what comes behind it is indexed again together with it, so that there are few segments and
    each row is indexed a few times at most, however small the batches are.
    """
    kept, behind = list(segments), list(tables)
    num_behind = sum(table.num_rows for table in tables)
    while kept and len(kept[-1]) <= 2 * num_behind and len(kept[-1]) + num_behind <= MAX_MERGED_ROWS:
        last = kept.pop()
        behind.insert(0, last.table)
        num_behind += len(last)
    return (*kept, Segment(behind))


def _words(caption: str, category: str | None, source: str, domain: str, origin: str) -> str:
    # What stands behind a question mark tells versions of a file apart.
    return f"{caption} {category or ''} {source} {domain} {origin.partition('?')[0]}"


def value_counts(segments: Sequence[Segment], column: str) -> dict[str, int]:
    """How many rows have each value of a text column, the most frequent first; null is counted as empty."""
    counts: dict[str, int] = {}
    for segment in segments:
        for entry in pc.value_counts(segment.table.column(column)).to_pylist():
            value = entry["values"] or ""
            counts[value] = counts.get(value, 0) + int(entry["counts"])
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def column_sum(segments: Sequence[Segment], column: str) -> int:
    """The sum of a column of whole numbers."""
    return sum(int(pc.sum(segment.table.column(column), min_count=0).as_py()) for segment in segments)
