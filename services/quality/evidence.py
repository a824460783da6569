"""A candidate with what the checks read off it; what is expensive to prepare is prepared when a check first asks for it, and once."""

from dataclasses import dataclass
from functools import cached_property

from services.quality.fingerprints import Fingerprint, fingerprint
from services.quality.provenance import Provenance, ProvenanceUnreadable, parse_provenance
from services.quality.scene_description import SceneDescription, SceneUnreadable, parse_scene
from services.quality.sources import SourceMark
from shared.domain import Candidate, Cell
from shared.images.decoding import DecodedImage, ImageRefused, decode_image
from shared.images.perceptual_hash import perceptual_hash


@dataclass(frozen=True, slots=True)
class Caps:
    """The largest image that is looked at."""

    max_image_bytes: int
    max_image_pixels: int


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a candidate whose answer no scene proves is judged."""

    solvers: tuple[str, ...] = ()
    """Models that solve blindly; one that asked the question itself does not count."""
    num_solvers: int = 2
    lacking: str = "name language models in the file of SPIRAL_MODELS_FILE"
    """What to configure before anything can be judged; empty where nothing lacks."""
    allowed_licences: tuple[str, ...] = ()


UNJUDGED = Terms()
"""Nobody judges: what no scene proves is unverifiable."""


class Evidence:
    """A candidate with what the checks read off it."""

    def __init__(self, candidate: Candidate, cell: Cell, caps: Caps, terms: Terms = UNJUDGED) -> None:
        """Takes the candidate, the cell that was asked for, the caps on images, and the terms where no scene proves the answer."""
        self.candidate = candidate
        self.cell = cell
        self.caps = caps
        self.terms = terms

    @property
    def is_proven(self) -> bool:
        """Whether a scene is to prove the answer; what is attached and can't be read proves nothing, and nobody is asked instead."""
        return self.candidate.scene != ""

    @cached_property
    def provenance(self) -> Provenance | ProvenanceUnreadable:
        """The parsed provenance, or why there is none."""
        try:
            return parse_provenance(self.candidate.provenance)
        except ProvenanceUnreadable as error:
            return error

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

    @property
    def source(self) -> SourceMark | None:
        """Where the image was found, as far as shares are concerned; None where a scene proves the answer."""
        if self.is_proven or isinstance(self.provenance, ProvenanceUnreadable) or isinstance(self.image, ImageRefused):
            return None
        found = self.provenance.source
        return SourceMark(found.shared_domain, found.image_sha256, perceptual_hash(self.image.preview[..., 0]))
