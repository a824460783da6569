"""A lease's candidates through the pure checks: each by itself, then beside what is known and beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.quality.checks import Compared, Known, compare, inspect
from services.quality.evidence import UNJUDGED, Caps, Evidence, Terms
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint
from services.quality.refusal import Refusal
from services.quality.sources import SourceMark
from shared.domain import Candidate, Lease, RejectionReason
from shared.images.decoding import DecodedImage, ImageRefused


@dataclass(frozen=True, slots=True)
class Screened:
    """A candidate after the pure checks; the fingerprint is there where none refused."""

    candidate: Candidate
    refusal: Refusal | None
    fingerprint: Fingerprint | None
    source: SourceMark | None = None
    """Where its image was found; None where a scene proves its answer."""
    image: DecodedImage | None = None
    """What further comparisons look at; of drawn images the fingerprint is enough, and they are not kept."""

    @property
    def is_proven(self) -> bool:
        """Whether a scene proves the answer."""
        return self.candidate.scene != ""


def inspect_all(candidates: Sequence[Candidate], lease: Lease, caps: Caps, terms: Terms = UNJUDGED) -> tuple[Screened, ...]:
    """Applies the checks of each candidate by itself."""
    inspected = []
    for candidate in candidates:
        evidence = Evidence(candidate, lease.cell, caps, terms)
        refusal = inspect(evidence)
        if refusal is not None or isinstance(evidence.image, ImageRefused):
            inspected.append(Screened(candidate, refusal, None))
        else:
            inspected.append(Screened(candidate, None, evidence.fingerprint, evidence.source, evidence.image))
    return tuple(inspected)


def compare_all(inspected: Sequence[Screened], known: Known) -> tuple[Screened, ...]:
    """Compares what passed with what is known; a candidate that passes may not be repeated by a later one."""
    passed = FingerprintIndex()
    known = replace(known, earlier=(*known.earlier, passed))
    ids: set[str] = set()
    compared = []
    for each in inspected:
        mark, candidate_id = each.fingerprint, each.candidate.candidate_id
        refusal = each.refusal if mark is None else compare(Compared(mark, each.image, each.is_proven), known)
        if refusal is None and candidate_id in ids:
            refusal = Refusal(RejectionReason.SCHEMA, "its candidate_id was given to another candidate")
        if refusal is None and mark is not None:
            passed.add(candidate_id, mark)
            ids.add(candidate_id)
        kept = replace(each, image=None) if each.is_proven else each
        compared.append(kept if refusal is None else Screened(each.candidate, refusal, None))
    return tuple(compared)


def screen(candidates: Sequence[Candidate], lease: Lease, caps: Caps, known: Known, terms: Terms = UNJUDGED) -> tuple[Screened, ...]:
    """Applies all pure checks."""
    return compare_all(inspect_all(candidates, lease, caps, terms), known)
