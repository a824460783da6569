"""The checks of a candidate, in order: cheapest first, and the first that refuses names the reason.

Each is a pure function of the candidate's evidence and of what is known already. What is expensive to prepare (parsed scene, decoded
image, fingerprint) is prepared when a check first asks for it, and once.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.quality.derivation import Underivable, derive, foreign_word, label_matches
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint, fingerprint
from services.quality.scene_description import SceneDescription, SceneUnreadable, parse_scene
from shared.answers import check_reference
from shared.domain import Candidate, Cell, RejectionReason
from shared.images.decoding import DecodedImage, ImageRefused, check_size, decode_image

MAX_QUESTION_CHARS = 2000
MAX_ANSWER_CHARS = 500
MAX_DETAIL_CHARS = 200

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a candidate is refused; `detail` says to people what the check saw."""

    reason: RejectionReason
    detail: str


@dataclass(frozen=True, slots=True)
class Caps:
    """The largest image that is looked at."""

    max_image_bytes: int
    max_image_pixels: int


@dataclass(frozen=True, slots=True)
class Known:
    """What a candidate may not repeat. `firewall` holds probes and exam, `earlier` what was reviewed before."""

    firewall: FingerprintIndex
    earlier: Sequence[FingerprintIndex]


class Evidence:
    """A candidate with what the checks read off it."""

    def __init__(self, candidate: Candidate, cell: Cell, caps: Caps) -> None:
        """Takes the candidate, the cell that was asked for, and the caps on images."""
        self.candidate = candidate
        self.cell = cell
        self.caps = caps

    @cached_property
    def scene(self) -> SceneDescription | SceneUnreadable:
        """The parsed scene description, or why there is none."""
        try:
            return parse_scene(self.candidate.scene)
        except SceneUnreadable as error:
            return error

    @cached_property
    def image(self) -> DecodedImage | ImageRefused:
        """The decoded image, or why it is refused."""
        try:
            return decode_image(self.candidate.image, max_bytes=self.caps.max_image_bytes, max_pixels=self.caps.max_image_pixels)
        except ImageRefused as error:
            return error

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of question and image.

        Raises:
            ImageRefused: there is no image to take it of.
        """
        if isinstance(self.image, ImageRefused):
            raise self.image
        candidate = self.candidate
        return fingerprint(self.image, candidate.question, candidate.cell.question_type, candidate.choices, candidate.answer)


Check = Callable[[Evidence, Known], Refusal | None]


def has_shape(evidence: Evidence, known: Known) -> Refusal | None:
    """Every field is there and of the shape that the question type asks for."""
    candidate = evidence.candidate
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
    elif not candidate.image:
        fault = "there is no image"
    return Refusal(RejectionReason.SCHEMA, fault) if fault else None


def is_of_cell(evidence: Evidence, known: Known) -> Refusal | None:
    """Category and question type are those asked for, by the candidate's own claim and by its scene."""
    claimed, wanted = evidence.candidate.cell, evidence.cell
    if claimed != wanted:
        return Refusal(RejectionReason.WRONG_CELL, f"{claimed} was made where {wanted} was asked for")
    scene = evidence.scene
    if isinstance(scene, SceneDescription) and scene.category is not wanted.category:
        return Refusal(RejectionReason.WRONG_CELL, f"the scene is {scene.category.value} where {wanted.category.value} was asked for")
    return None


def is_small_enough(evidence: Evidence, known: Known) -> Refusal | None:
    """The image's header names an allowed format and a size within the caps; no pixel is unpacked."""
    try:
        check_size(evidence.candidate.image, max_bytes=evidence.caps.max_image_bytes, max_pixels=evidence.caps.max_image_pixels)
    except ImageRefused as error:
        return Refusal(error.reason, error.detail)
    return None


def has_right_answer(evidence: Evidence, known: Known) -> Refusal | None:
    """The answer, derived again from the scene, is the label, and the scene's query is what the question asks."""
    candidate, scene = evidence.candidate, evidence.scene
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


def decodes(evidence: Evidence, known: Known) -> Refusal | None:
    """The image is whole, still and decodes."""
    image = evidence.image
    return Refusal(image.reason, image.detail) if isinstance(image, ImageRefused) else None


def is_new(evidence: Evidence, known: Known) -> Refusal | None:
    """Nobody made the same pixels, question, choices and answer before."""
    other = next((found for index in known.earlier if (found := index.exact(evidence.fingerprint))), None)
    return Refusal(RejectionReason.EXACT_DUPLICATE, f"the same as {other}") if other else None


def is_no_probe(evidence: Evidence, known: Known) -> Refusal | None:
    """It is no copy or near-copy of a probe or an exam item."""
    other = known.firewall.near(evidence.fingerprint)
    return Refusal(RejectionReason.PROBE_LEAK, f"a copy of {other}") if other else None


def is_different(evidence: Evidence, known: Known) -> Refusal | None:
    """It is no near-copy of an earlier candidate, image and question judged together."""
    other = next((found for index in known.earlier if (found := index.near(evidence.fingerprint))), None)
    return Refusal(RejectionReason.NEAR_DUPLICATE, f"a near-copy of {other}") if other else None


CHECKS: tuple[Check, ...] = (has_shape, is_of_cell, is_small_enough, has_right_answer, decodes, is_new, is_no_probe, is_different)


def refuse(evidence: Evidence, known: Known) -> Refusal | None:
    """The first refusal, or None where every check passes."""
    refusal = next((found for check in CHECKS if (found := check(evidence, known))), None)
    if refusal is not None and len(refusal.detail) > MAX_DETAIL_CHARS:
        return Refusal(refusal.reason, f"{refusal.detail[: MAX_DETAIL_CHARS - 1]}…")
    return refusal
