"""What a lease's candidates leave in the store, and what it has to say: the manifest is the truth, the event follows from it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from services.generators.candidate_identity import candidates_name
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, Lease
from shared.errors import Rejected
from shared.events import CandidatesGenerated, Event
from shared.ports import Cause
from shared.run_spec import RunSpec
from shared.wire_json import from_json, to_json

CANDIDATES_FILE = "candidates.parquet"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def check_kind(lease: Lease, kind: str) -> None:
    """Refuses another kind's lease.

    Raises:
        Rejected: it is one.
    """
    if lease.kind != kind:
        raise Rejected(f"lease {lease.lease_id} is for generators of kind {lease.kind!r}; this one is of kind {kind!r}")


async def commit_candidates(
    artifacts: Artifacts,
    generated: CandidatesGenerated,
    *,
    cause: Cause,
    sources: Mapping[str, ArtifactRef] = _NOTHING,
    metadata: Mapping[str, Any] = _NOTHING,
) -> ArtifactRef:
    """Makes a lease's candidates a fact; where the lease stands answered already, that answer stays.

    Args:
        artifacts: holds the Parquet file that `generated` names.
        generated: what is to be said.
        cause: the lease's delivery.
        sources: what else belongs to the candidates: relative path to stored file.
        metadata: JSON values to keep beside the event.
    """
    name = candidates_name(generated.run_id, generated.iteration, generated.lease.lease_id)
    files = {CANDIDATES_FILE: generated.candidates, **sources}
    return await artifacts.commit(name, files, cause=cause, metadata={**metadata, "event": to_json(generated)})


async def announcement(artifacts: Artifacts, candidates: ArtifactRef) -> CandidatesGenerated:
    """What a committed set of candidates has to say, from its manifest alone; always the same."""
    return from_json(CandidatesGenerated, (await artifacts.manifest(candidates)).metadata["event"])


async def standing_announcements(artifacts: Artifacts, spec: RunSpec, kind: str) -> Sequence[tuple[Cause, Sequence[Event]]]:
    """Every lease of a run whose candidates a generator of this kind committed, with its announcement."""
    said = list[tuple[Cause, Sequence[Event]]]()
    for name in await artifacts.names(f"runs/{spec.run_id}/"):
        ref = await artifacts.find(name) if "/candidates/" in name else None
        if ref is None:
            continue
        event = await announcement(artifacts, ref)
        if event.generator.kind == kind:
            said.append(((await artifacts.manifest(ref)).cause, [event]))
    return said
