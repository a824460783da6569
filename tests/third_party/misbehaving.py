"""The third-party generator, gone wrong in one way: `python misbehaving.py lying|malformed|waiting [FILE]`."""

import asyncio
import io
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from generator import main
from house_fronts import CELLS, COLUMNS, make_candidate, make_parquet
from spiral.v1 import types_pb2


def lying(lease: types_pb2.Lease) -> tuple[bytes, int]:
    """The first candidate of every count claims an answer that its scene does not give."""
    rows = [make_candidate(lease, index) for index in range(lease.num_candidates)]
    if lease.cell == CELLS[0]:
        rows[0]["answer"] = "99"
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), file)
    return file.getvalue(), len(rows)


def malformed(lease: types_pb2.Lease) -> tuple[bytes, int]:
    """A cell's first lease gets bytes that are no Parquet."""
    return (b"not what was promised", 3) if lease.cell == CELLS[1] and lease.ordinal == 1 else make_parquet(lease)


def waiting(lease: types_pb2.Lease) -> tuple[bytes, int]:
    """Nothing is made before a file stands."""
    while not Path(sys.argv[2]).exists():
        time.sleep(0.02)
    return make_parquet(lease)


if __name__ == "__main__":
    asyncio.run(main({"lying": lying, "malformed": malformed, "waiting": waiting}[sys.argv[1]]))
