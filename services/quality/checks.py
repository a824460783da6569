"""The checks of a candidate that need nobody's judgement, in order: cheapest first, and the first that refuses names the reason.

Each is a pure function of the candidate's evidence and of what is known already. Candidates whose answer no scene proves are judged after
these, see `judgement.py`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.quality.derivation import Underivable, derive, foreign_word, label_matches
from services.quality.evidence import Evidence
from services.quality.fingerprints import Fingerprint
from services.quality.firewall import Firewall
from services.quality.provenance import ProvenanceUnreadable
from services.quality.refusal import Refusal
from services.quality.scene_description import SceneDescription, SceneUnreadable
from services.quality.sources import check_licence
from shared.answers import check_reference, tolerance_share
from shared.domain import QuestionType, RejectionReason
from shared.images.decoding import DecodedImage, ImageRefused, check_size

MAX_QUESTION_CHARS = 2000
MAX_ANSWER_CHARS = 500
MAX_TOLERANCE_SHARE = 0.25
"""Of the answer. Whoever asks also says how far off still counts: with enough of it any label is agreed to, and any answer rewarded."""

_ID = re.compile(r"[0-9a-f]{64}")


class Earlier(Protocol):
    """What was reviewed before: `FingerprintIndex`, or a lease's view of its run's."""

    def exact(self, fingerprint: Fingerprint) -> str | None:
        """Who left the same pixels, question, choices and answer."""

    def near(self, fingerprint: Fingerprint, image: DecodedImage | None = None) -> str | None:
        """Who left a copy or near-copy."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a candidate may not repeat: `firewall` holds probes and exam, `benchmarks` what was registered besides."""

    firewall: Firewall
    earlier: Sequence[Earlier]
    benchmarks: Sequence[Firewall] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """What of a candidate is compared. Without the image, crops may be overlooked; `is_drawn` says that a template drew it."""

    mark: Fingerprint
    image: DecodedImage | None
    is_drawn: bool


Check = Callable[[Evidence], Refusal | None]
Comparison = Callable[[Compared, Known], Refusal | None]


def has_shape(evidence: Evidence) -> Refusal | None:
    """Every field is there and of the shape that the question type asks for."""
    candidate = evidence.candidate
    is_number = candidate.cell.question_type is QuestionType.NUMERIC
    fault = check_reference(
        question_type=candidate.cell.question_type, answer=candidate.answer, choices=candidate.choices, tolerance=candidate.tolerance
    )
    if not _ID.fullmatch(candidate.candidate_id):
        fault = f"candidate_id {candidate.candidate_id[:80]!r} is no lower-case hex sha256"
    elif not candidate.question.strip():
        fault = "the question is empty"
    elif len(candidate.question) > MAX_QUESTION_CHARS:
        fault = f"the question has {len(candidate.question):,} characters, more than {MAX_QUESTION_CHARS:,}"
    elif max(map(len, (candidate.answer, *candidate.choices))) > MAX_ANSWER_CHARS:
        fault = f"answer or choice has more than {MAX_ANSWER_CHARS} characters"
    elif fault is None and is_number and tolerance_share(candidate.answer, candidate.tolerance) > MAX_TOLERANCE_SHARE:
        fault = f"a tolerance of {candidate.tolerance:g} is more than {MAX_TOLERANCE_SHARE:.0%} of the answer {candidate.answer!r}"
    elif not candidate.image:
        fault = "there is no image"
    return Refusal(RejectionReason.SCHEMA, fault) if fault else None


def is_of_cell(evidence: Evidence) -> Refusal | None:
    """Category and question type are those asked for, by the candidate's own claim and by its scene."""
    claimed, wanted = evidence.candidate.cell, evidence.cell
    if claimed != wanted:
        return Refusal(RejectionReason.WRONG_CELL, f"{claimed} was made where {wanted} was asked for")
    scene = evidence.scene if evidence.is_proven else None
    if isinstance(scene, SceneDescription) and scene.category is not wanted.category:
        return Refusal(RejectionReason.WRONG_CELL, f"the scene is {scene.category.value} where {wanted.category.value} was asked for")
    return None


def is_small_enough(evidence: Evidence) -> Refusal | None:
    """The image's header names an allowed format and a size within the caps; no pixel is unpacked."""
    try:
        check_size(evidence.candidate.image, max_bytes=evidence.caps.max_image_bytes, max_pixels=evidence.caps.max_image_pixels)
    except ImageRefused as error:
        return Refusal(error.reason, error.detail)
    return None


def can_be_verified(evidence: Evidence) -> Refusal | None:
    """Where no scene proves the answer, the provenance names source and asker, and enough other models could solve it blindly."""
    terms, provenance = evidence.terms, evidence.provenance
    if evidence.is_proven:
        return None
    if terms.lacking:
        return Refusal(RejectionReason.UNVERIFIABLE, f"no scene proves the answer, and nobody is there to judge it: {terms.lacking}")
    if isinstance(provenance, ProvenanceUnreadable):
        return Refusal(RejectionReason.SCHEMA, str(provenance))
    others = [solver for solver in terms.solvers if not provenance.is_asker(solver)]
    if len(others) < terms.num_solvers:
        told = f"{len(others)} models beside {provenance.asker}, which asked, could solve it blindly, and {terms.num_solvers} must"
        return Refusal(RejectionReason.UNVERIFIABLE, f"{told}: name more for the role verify in the file of SPIRAL_MODELS_FILE")
    return None


def has_licence(evidence: Evidence) -> Refusal | None:
    """The source of a found image states a licence, and one that the run allows."""
    if evidence.is_proven or isinstance(evidence.provenance, ProvenanceUnreadable):
        return None
    return check_licence(evidence.provenance.source.licence, evidence.terms.allowed_licences)


def has_right_answer(evidence: Evidence) -> Refusal | None:
    """The answer, derived again from the scene, is the label, and the scene's query is what the question asks."""
    candidate, scene = evidence.candidate, evidence.scene
    if not evidence.is_proven:
        return None
    if isinstance(scene, SceneUnreadable):
        return Refusal(RejectionReason.UNVERIFIABLE, str(scene))
    try:
        value = derive(scene)
    except Underivable as error:
        return Refusal(RejectionReason.UNVERIFIABLE, str(error))
    foreign = foreign_word(scene, candidate.question)
    if foreign is not None:
        return Refusal(RejectionReason.UNVERIFIABLE, f"the question {foreign}")
    if not label_matches(value, question_type=candidate.cell.question_type, choices=candidate.choices, answer=candidate.answer):
        offered = f" of {list(candidate.choices)}" if candidate.choices else ""
        return Refusal(RejectionReason.WRONG_ANSWER, f"the label is {candidate.answer!r}{offered}, the scene says {value!r}")
    return None


def decodes(evidence: Evidence) -> Refusal | None:
    """The image is whole, still and decodes."""
    image = evidence.image
    return Refusal(image.reason, image.detail) if isinstance(image, ImageRefused) else None


def is_new(candidate: Compared, known: Known) -> Refusal | None:
    """Nobody made the same pixels, question, choices and answer before."""
    other = next((found for earlier in known.earlier if (found := earlier.exact(candidate.mark))), None)
    return Refusal(RejectionReason.EXACT_DUPLICATE, f"the same as {other}") if other else None


def is_no_probe(candidate: Compared, known: Known) -> Refusal | None:
    """It is no copy or near-copy of a probe or an exam item."""
    leak = known.firewall.leak(candidate.mark, candidate.image, is_drawn=candidate.is_drawn)
    return Refusal(RejectionReason.PROBE_LEAK, leak.detail) if leak else None


def is_no_benchmark(candidate: Compared, known: Known) -> Refusal | None:
    """It is no copy or near-copy of an item of a registered benchmark."""
    for benchmark in known.benchmarks:
        leak = benchmark.leak(candidate.mark, candidate.image, is_drawn=candidate.is_drawn)
        if leak is not None:
            return Refusal(RejectionReason.BENCHMARK_LEAK, leak.detail)
    return None


def is_different(candidate: Compared, known: Known) -> Refusal | None:
    """It is no near-copy of an earlier candidate, image and question judged together."""
    other = next((found for earlier in known.earlier if (found := earlier.near(candidate.mark, candidate.image))), None)
    return Refusal(RejectionReason.NEAR_DUPLICATE, f"a near-copy of {other}") if other else None


CHECKS: tuple[Check, ...] = (has_shape, is_of_cell, is_small_enough, can_be_verified, has_right_answer, has_licence, decodes)
"""Of a candidate by itself; a fingerprint can be taken of what passes."""
COMPARISONS: tuple[Comparison, ...] = (is_new, is_no_probe, is_no_benchmark, is_different)
"""Of its fingerprint with what is known."""


def inspect(evidence: Evidence) -> Refusal | None:
    """The first refusal of a candidate by itself, or None where every check passes."""
    return _first(check(evidence) for check in CHECKS)


def compare(candidate: Compared, known: Known) -> Refusal | None:
    """The first refusal of what passed `inspect`, or None where every comparison passes."""
    return _first(comparison(candidate, known) for comparison in COMPARISONS)


def refuse(evidence: Evidence, known: Known) -> Refusal | None:
    """The first refusal by any check, or None where all pass."""
    refusal = inspect(evidence)
    image = None if isinstance(evidence.image, ImageRefused) else evidence.image
    return refusal or compare(Compared(evidence.fingerprint, image, evidence.is_proven), known)


def _first(outcomes: Iterable[Refusal | None]) -> Refusal | None:
    refusal = next(filter(None, outcomes), None)
    return refusal.in_short() if refusal else None
