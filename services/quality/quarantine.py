"""Candidates whose label others unanimously contradict, kept for people: their own columns, and who answered what."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from services.quality.review import Doubted
from shared.tables import CANDIDATES, write_candidates

_ANSWERS = pa.field("answers", pa.list_(pa.struct([("by", pa.string()), ("answered", pa.string())])))

QUARANTINE = CANDIDATES.append(_ANSWERS)


def write_quarantine(doubted: Sequence[Doubted]) -> bytes:
    """Quarantined candidates as Parquet, in order."""
    rows = pq.read_table(io.BytesIO(write_candidates([each.candidate for each in doubted])))
    answers = [[{"by": by, "answered": answered} for by, answered in each.answers] for each in doubted]
    sink = io.BytesIO()
    pq.write_table(rows.append_column(_ANSWERS, pa.array(answers, type=_ANSWERS.type)).cast(QUARANTINE), sink, compression="zstd")
    return sink.getvalue()
