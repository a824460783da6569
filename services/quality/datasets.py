"""Sealed datasets in the store: what goes into them, and what they have to say."""

from collections.abc import Sequence
from typing import Any

from services.quality.records import FINGERPRINTS_FILE, SAMPLES_FILE, announcement, read_marks
from services.quality.sealing import ReviewedLease, Sealed
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, Cell, ModelVersion
from shared.errors import NotFound
from shared.events import DatasetReady, PlanClosed
from shared.tables import read_samples
from shared.wire_json import from_json, to_json

CARD_FILE = "README.md"


async def reviewed_lease(artifacts: Artifacts, name: str) -> ReviewedLease:
    """What a review left, for sealing.

    Raises:
        NotFound: no review of that name stands in the store.
    """
    ref = await artifacts.find(name)
    if ref is None:
        raise NotFound(f"the review {name} does not stand in the store")
    manifest = await artifacts.manifest(ref)
    reviewed = await announcement(artifacts, ref)
    samples = read_samples(await artifacts.read_bytes(manifest.files[SAMPLES_FILE]), f"samples of {name}")
    marks = read_marks(await artifacts.read_bytes(manifest.files[FINGERPRINTS_FILE]))
    return ReviewedLease(
        lease_id=reviewed.lease.lease_id,
        generator=reviewed.generator,
        samples=tuple(samples),
        exact={mark.candidate_id: mark.fingerprint.exact for mark in marks},
        rejected=manifest.metadata["rejected"],
    )


def dataset_metadata(event: PlanClosed, lease_ids: Sequence[str], sealed: Sealed, earlier: Sequence[ArtifactRef]) -> dict[str, Any]:
    """What a dataset's manifest says beside its files; `earlier` are the run's datasets before it, oldest first."""
    return {
        "lease_ids": list(lease_ids),
        "num_samples": len(sealed.samples),
        "num_copies": sealed.num_copies,
        "base_model": to_json(event.base_model),
        "replay_datasets": [to_json(ref) for ref in earlier],
        "replay_share": event.replay_share,
        "held_back": [to_json(cell) for cell in event.held_back],
    }


async def dataset_announcement(artifacts: Artifacts, dataset: ArtifactRef) -> DatasetReady:
    """What a sealed dataset has to say, from its manifest alone; always the same."""
    manifest = await artifacts.manifest(dataset)
    _, run_id, iteration, _ = manifest.name.split("/")
    told = manifest.metadata
    return DatasetReady(
        run_id=run_id,
        iteration=int(iteration),
        dataset=dataset,
        base_model=from_json(ModelVersion, told["base_model"]),
        num_samples=told["num_samples"],
        replay_datasets=tuple(from_json(ArtifactRef, ref) for ref in told["replay_datasets"]),
        replay_share=told["replay_share"],
        held_back=tuple(from_json(Cell, cell) for cell in told.get("held_back", ())),
    )
