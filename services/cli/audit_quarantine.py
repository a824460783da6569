"""What quality quarantined: candidates whose label every blind solver contradicts, in favour of one other answer. People may look at it.

Quality keeps them beside its verdicts, as `quarantine.parquet` of a review: the columns of candidates, and `answers`, a list of who
(`by`) answered what (`answered`).
"""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.text import Text

from services.cli.audit_origin import maker_of
from services.cli.audit_screen import described, show_image
from services.cli.plain import plain
from services.cli.words import on_screen, words
from shared.artifacts import Artifacts
from shared.domain import Candidate, Cell
from shared.errors import Rejected
from shared.in_parallel import in_parallel
from shared.run_spec import RunSpec
from shared.tables import read_candidates

SCHEMA = "spiral.quarantine/1"
FILE = "quarantine.parquet"
ANSWERS = "answers"
_NUM_PARALLEL_READS = 16


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A quarantined candidate, and what the solvers said."""

    iteration: int
    lease_id: str
    candidate: Candidate
    answers: tuple[tuple[str, str], ...]
    """Who answered, and what."""


async def read_quarantine(
    artifacts: Artifacts, spec: RunSpec, *, iterations: Collection[int] = (), cells: Collection[Cell] = ()
) -> list[Quarantined]:
    """Everything that was quarantined so far, in the order of leases; of some iterations and cells only, where any are named.

    Raises:
        Retryable: the store is away.
        Rejected: a file is damaged.
    """

    async def read(place: tuple[int, str]) -> list[Quarantined]:
        return await _of_review(artifacts, *place)

    places = []
    for iteration in range(1, spec.num_iterations + 1):
        if not iterations or iteration in iterations:
            places += [(iteration, name) for name in await artifacts.names(f"runs/{spec.run_id}/{iteration}/reviews/")]
    found = await in_parallel(read, places, limit=_NUM_PARALLEL_READS)
    return [each for some in found for each in some if not cells or each.candidate.cell in cells]


def quarantine_json(spec: RunSpec, found: Sequence[Quarantined]) -> dict[str, Any]:
    """Quarantined candidates as JSON values, without their images."""
    return {"schema": SCHEMA, "run_id": spec.run_id, "candidates": [_candidate_json(each) for each in found]}


def show_quarantine(console: Console, spec: RunSpec, found: Sequence[Quarantined], folder: Path | None) -> None:
    """Prints one after the other, with its image where the terminal can show it.

    Raises:
        BadConfiguration: images can't be saved in the folder.
        Rejected: an image does not decode.
    """
    for number, each in enumerate(found, start=1):
        candidate = each.candidate
        console.rule(f"{number} of {len(found)} · iteration {each.iteration} · {words(str(candidate.cell))}", align="left")
        show_image(console, candidate.image, candidate.candidate_id, folder)
        table = described(candidate)
        for by, answered in each.answers:
            table.add_row("blind answer", Text(f"{on_screen(answered)} ({on_screen(by)})"))
        table.add_row("candidate", candidate.candidate_id)
        console.print(table)
    console.print(f"Run {spec.run_id}: {len(found)} quarantined candidate(s)", highlight=False, markup=False)


async def _of_review(artifacts: Artifacts, iteration: int, name: str) -> list[Quarantined]:
    review = await artifacts.find(name)
    files = (await artifacts.manifest(review)).files if review else {}
    if FILE not in files:
        return []
    payload, source = await artifacts.read_bytes(files[FILE]), f"{name}#{FILE}"
    candidates = read_candidates(payload, source)
    answers = _answers(payload, source, len(candidates))
    lease_id = name.rpartition("/")[2]
    return [Quarantined(iteration, lease_id, candidate, told) for candidate, told in zip(candidates, answers, strict=True)]


def _answers(payload: bytes, source: str, num_rows: int) -> list[tuple[tuple[str, str], ...]]:
    """Who answered what, row by row; nothing where the file does not say."""
    try:
        file = pq.ParquetFile(io.BytesIO(payload))
        if ANSWERS not in file.schema_arrow.names:
            return [()] * num_rows
        rows = file.read(columns=[ANSWERS]).column(0).to_pylist()
        return [tuple((str(told["by"]), str(told["answered"])) for told in row or ()) for row in rows]
    except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
        raise Rejected(f"{source}, column {ANSWERS!r}: {error!r}") from error


def _candidate_json(each: Quarantined) -> dict[str, Any]:
    candidate = each.candidate
    return {
        "iteration": each.iteration,
        "lease_id": each.lease_id,
        "candidate_id": candidate.candidate_id,
        "cell": plain(candidate.cell),
        "maker": maker_of(candidate),
        "question": candidate.question,
        "choices": list(candidate.choices),
        "answer": candidate.answer,
        "answers": [{"by": by, "answered": answered} for by, answered in each.answers],
    }
