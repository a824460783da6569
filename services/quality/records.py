"""What a review leaves in the store: verdicts, accepted samples and fingerprints, and what it has to say."""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.quality.fingerprints import Fingerprint
from services.quality.review import Screened
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, GeneratorIdentity, Lease, RejectionReason, Verdict
from shared.events import CandidatesReviewed
from shared.tables import Sample
from shared.wire_json import from_json, to_json

SAMPLES_FILE = "samples.parquet"
VERDICTS_FILE = "verdicts.parquet"
FINGERPRINTS_FILE = "fingerprints.parquet"

MAY_NOT_RETURN = frozenset({RejectionReason.TOO_HARD, RejectionReason.TOO_EASY})
"""Refusals that hold for a copy as well: asking the policy again until luck has it would bias what is accepted."""

_VERDICTS = pa.schema(
    [
        ("candidate_id", pa.string()),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("pass_rate", pa.float64()),
    ]
)
_FINGERPRINTS = pa.schema(
    [
        ("candidate_id", pa.string()),
        ("accepted", pa.bool_()),
        ("exact", pa.string()),
        ("words", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("short_side_px", pa.int32()),
        ("cells", pa.binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A fingerprint that later candidates may not repeat."""

    candidate_id: str
    accepted: bool
    fingerprint: Fingerprint


def review_name(run_id: str, iteration: int, lease_id: str) -> str:
    """The manifest of a lease's review."""
    return f"runs/{run_id}/{iteration}/reviews/{lease_id}"


def accepted_samples(screened: Sequence[Screened], verdicts: Sequence[Verdict], lease: Lease, iteration: int) -> list[Sample]:
    """The accepted candidates as training samples, in order."""
    return [
        Sample(
            sample_id=candidate.candidate_id,
            cell=lease.cell,
            image=candidate.image,
            question=candidate.question,
            choices=candidate.choices,
            answer=candidate.answer,
            tolerance=candidate.tolerance,
            recipe=lease.recipe,
            pass_rate=verdict.pass_rate,
            iteration=iteration,
            lease_id=lease.lease_id,
            scene=candidate.scene,
            provenance=candidate.provenance,
        )
        for candidate, verdict in zip((each.candidate for each in screened), verdicts, strict=True)
        if verdict.accepted
    ]


def marks_of(screened: Sequence[Screened], verdicts: Sequence[Verdict]) -> list[Mark]:
    """The fingerprints that count from now on: of what was accepted, and of what the policy found too hard or too easy."""
    return [
        Mark(verdict.candidate_id, verdict.accepted, each.fingerprint)
        for each, verdict in zip(screened, verdicts, strict=True)
        if each.fingerprint is not None and (verdict.accepted or verdict.reason in MAY_NOT_RETURN)
    ]


def metadata_of(lease: Lease, generator: GeneratorIdentity, candidates: ArtifactRef, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What the manifest says beside its files."""
    reasons = Counter(verdict.reason.value for verdict in verdicts if verdict.reason)
    return {
        "lease": to_json(lease),
        "generator": to_json(generator),
        "candidates": to_json(candidates),
        "num_accepted": sum(verdict.accepted for verdict in verdicts),
        "rejected": dict(sorted(reasons.items())),
    }


async def announcement(artifacts: Artifacts, review: ArtifactRef) -> CandidatesReviewed:
    """What a committed review has to say, from the store alone; always the same."""
    manifest = await artifacts.manifest(review)
    _, run_id, iteration, *_ = manifest.name.split("/")
    return CandidatesReviewed(
        run_id=run_id,
        iteration=int(iteration),
        lease=from_json(Lease, manifest.metadata["lease"]),
        review=review,
        verdicts=tuple(read_verdicts(await artifacts.read_bytes(manifest.files[VERDICTS_FILE]))),
        generator=from_json(GeneratorIdentity, manifest.metadata["generator"]),
    )


def write_verdicts(verdicts: Iterable[Verdict]) -> bytes:
    """Verdicts as Parquet."""
    return _write(
        [
            {
                "candidate_id": verdict.candidate_id,
                "accepted": verdict.accepted,
                "reason": verdict.reason.value if verdict.reason else None,
                "detail": verdict.detail,
                "pass_rate": verdict.pass_rate,
            }
            for verdict in verdicts
        ],
        _VERDICTS,
    )


def read_verdicts(payload: bytes) -> list[Verdict]:
    """Verdicts from `write_verdicts`."""
    return [
        Verdict(**row | {"reason": RejectionReason(row["reason"]) if row["reason"] else None})
        for row in pq.read_table(io.BytesIO(payload), schema=_VERDICTS).to_pylist()
    ]


def write_marks(marks: Iterable[Mark]) -> bytes:
    """Fingerprints as Parquet."""
    rows = [
        {
            "candidate_id": mark.candidate_id,
            "accepted": mark.accepted,
            "exact": mark.fingerprint.exact,
            "words": list(mark.fingerprint.words),
            "answer": mark.fingerprint.answer,
            "short_side_px": mark.fingerprint.short_side_px,
            "cells": mark.fingerprint.cells,
        }
        for mark in marks
    ]
    return _write(rows, _FINGERPRINTS)


def read_marks(payload: bytes) -> list[Mark]:
    """Fingerprints from `write_marks`."""
    marks = []
    for row in pq.read_table(io.BytesIO(payload), schema=_FINGERPRINTS).to_pylist():
        words = tuple(row["words"])
        fingerprint = Fingerprint(row["exact"], words, row["answer"], row["short_side_px"], row["cells"])
        marks.append(Mark(row["candidate_id"], row["accepted"], fingerprint))
    return marks


def _write(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()
