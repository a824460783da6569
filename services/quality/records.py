"""What a review leaves in the store: verdicts, accepted samples, fingerprints and what was quarantined, and what it has to say."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.quality.fingerprints import FINGERPRINT_FIELDS, Fingerprint
from services.quality.quarantine import write_quarantine
from services.quality.review import LeaseReview
from services.quality.run_index import Mark
from services.quality.screening import Screened
from services.quality.sources import SourceMark
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, GeneratorIdentity, Lease, RejectionReason, Spend, Verdict
from shared.events import CandidatesReviewed
from shared.tables import Sample, write_samples
from shared.wire_json import from_json, to_json

SAMPLES_FILE = "samples.parquet"
VERDICTS_FILE = "verdicts.parquet"
FINGERPRINTS_FILE = "fingerprints.parquet"
QUARANTINE_FILE = "quarantine.parquet"
"""Where a candidate was quarantined."""

MAY_NOT_RETURN = frozenset(
    {
        RejectionReason.TOO_HARD,
        RejectionReason.TOO_EASY,
        RejectionReason.NEEDS_NO_IMAGE,
        RejectionReason.DISPUTED,
        RejectionReason.QUARANTINED,
    }
)
"""Refusals that hold for a copy as well: asking models again until luck has it would bias what is accepted."""

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
        pa.field("candidate_id", pa.string()),
        pa.field("accepted", pa.bool_()),
        *FINGERPRINT_FIELDS,
        pa.field("source_domain", pa.string()),
        pa.field("source_image_sha256", pa.string()),
        pa.field("image_hash", pa.uint64()),
    ]
)
"""The last three are null where a scene proves the answer."""


def review_name(run_id: str, iteration: int, lease_id: str) -> str:
    """The manifest of a lease's review."""
    return f"runs/{run_id}/{iteration}/reviews/{lease_id}"


def is_review(name: str) -> bool:
    """Whether a manifest of a run is a lease's review."""
    return "/reviews/" in name


def write_review(review: LeaseReview, verdicts: Sequence[Verdict], lease: Lease, iteration: int) -> dict[str, bytes]:
    """The files of a settled review."""
    written = {
        SAMPLES_FILE: write_samples(accepted_samples(review.screened, verdicts, lease, iteration)),
        VERDICTS_FILE: write_verdicts(verdicts),
        FINGERPRINTS_FILE: write_marks(marks_of(review.screened, verdicts)),
    }
    return written | ({QUARANTINE_FILE: write_quarantine(review.doubted)} if review.doubted else {})


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
    """The fingerprints that count from now on: of what was accepted, and of what may not return."""
    return [
        Mark(verdict.candidate_id, verdict.accepted, each.fingerprint, each.source)
        for each, verdict in zip(screened, verdicts, strict=True)
        if each.fingerprint is not None and (verdict.accepted or verdict.reason in MAY_NOT_RETURN)
    ]


def metadata_of(
    lease: Lease, generator: GeneratorIdentity, candidates: ArtifactRef, verdicts: Sequence[Verdict], spent: Sequence[Spend]
) -> dict[str, Any]:
    """What the manifest says beside its files."""
    reasons = Counter(verdict.reason.value for verdict in verdicts if verdict.reason)
    return {
        "lease": to_json(lease),
        "generator": to_json(generator),
        "candidates": to_json(candidates),
        "num_accepted": sum(verdict.accepted for verdict in verdicts),
        "rejected": dict(sorted(reasons.items())),
        "spent": [to_json(part) for part in spent],
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
        spent=tuple(from_json(Spend, part) for part in manifest.metadata.get("spent", ())),
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
    return _write([_mark_row(mark) for mark in marks], _FINGERPRINTS)


def read_marks(payload: bytes) -> list[Mark]:
    """Fingerprints from `write_marks`, of this version or an earlier one."""
    return [
        Mark(row["candidate_id"], row["accepted"], Fingerprint.from_row(row), _source(row))
        for row in pq.read_table(io.BytesIO(payload), schema=_FINGERPRINTS).to_pylist()
    ]


def _mark_row(mark: Mark) -> dict[str, Any]:
    source = mark.source
    return {
        "candidate_id": mark.candidate_id,
        "accepted": mark.accepted,
        **mark.fingerprint.to_row(),
        "source_domain": source.domain if source else None,
        "source_image_sha256": source.image_sha256 if source else None,
        "image_hash": source.image_hash if source else None,
    }


def _source(row: Mapping[str, Any]) -> SourceMark | None:
    if row["source_image_sha256"] is None:
        return None
    return SourceMark(row["source_domain"], row["source_image_sha256"], row["image_hash"])


def _write(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()
