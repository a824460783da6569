"""What may be done to images of each category: DPE's strategies per image type, as one table.

Where the truth hangs on single pixels (a vertex, a digit, a lesion) images are found rather than made, and edits add labels and colours but
never move what is measured. Diffusion editors repaint the whole image, so they are kept to categories where nothing is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.generators.agentic.tools.edit_ops import EditOp, LocalOp, OpName
from shared.domain import ImageCategory

_TEXT: frozenset[OpName] = frozenset({"place_text"})
_COLORS: frozenset[OpName] = frozenset({"replace_color", "shift_hue"})
_SIZE: frozenset[OpName] = frozenset({"resize"})
_FRAME: frozenset[OpName] = frozenset({"crop", "resize"})
_MARKS: frozenset[OpName] = frozenset({"place_text", "place_shape"})
_EVERY_LOCAL: frozenset[OpName] = frozenset(
    {"crop", "resize", "shift_hue", "replace_color", "blur", "rotate_quarter", "tilt", "place_text", "place_shape", "composite"}
)
_DIFFUSION: frozenset[OpName] = frozenset({"diffusion"})


class SearchPriority(StrEnum):
    """How much an image should be found rather than made."""

    HEAVILY = "search_heavily"
    PREFERRED = "search_preferred"
    BALANCED = "balanced"
    GENERATION_FRIENDLY = "generation_friendly"


class EditScope(StrEnum):
    """How far edits may go."""

    MINIMAL = "minimal"
    TARGETED = "targeted"
    MODERATE = "moderate"
    FLEXIBLE = "flexible"
    VERY_FLEXIBLE = "very_flexible"


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be done to images of one category."""

    search: SearchPriority
    scope: EditScope
    max_edits: int
    allowed: frozenset[OpName]
    rule: str
    """The scope in words, for the agent that edits."""

    @property
    def may_diffuse(self) -> bool:
        """Whether a diffusion editor may repaint such images."""
        return "diffusion" in self.allowed


POLICIES: dict[ImageCategory, Policy] = {
    ImageCategory.GEOMETRIC: Policy(
        SearchPriority.HEAVILY,
        EditScope.MINIMAL,
        2,
        _TEXT | _COLORS | _SIZE,
        "Only labels, measures and colours; never lines, angles or proportions.",
    ),
    ImageCategory.MEDICAL: Policy(
        SearchPriority.HEAVILY,
        EditScope.MINIMAL,
        2,
        _MARKS | _SIZE,
        "Only annotations beside or pointing at what is there; never the tissue, its colours or its sides.",
    ),
    ImageCategory.MATH_FORMULA: Policy(
        SearchPriority.HEAVILY,
        EditScope.MINIMAL,
        2,
        _TEXT | _SIZE,
        "Only single symbols or numbers, written on a plate over the old ones.",
    ),
    ImageCategory.CHART_GRAPH: Policy(
        SearchPriority.PREFERRED,
        EditScope.MODERATE,
        3,
        _TEXT | _COLORS | _SIZE,
        "Labels, legend and colours; a colour of the legend only together with its marks; never proportions.",
    ),
    ImageCategory.TEXT_DENSE: Policy(
        SearchPriority.PREFERRED, EditScope.TARGETED, 3, _TEXT | _FRAME, "Only the named text, at its own size; the layout stays."
    ),
    ImageCategory.DIAGRAM: Policy(
        SearchPriority.PREFERRED,
        EditScope.MODERATE,
        3,
        _MARKS | _COLORS | _FRAME,
        "Labels, arrows and colours; what leads to what stays as it is.",
    ),
    ImageCategory.MAP: Policy(
        SearchPriority.PREFERRED, EditScope.MODERATE, 3, _MARKS | _FRAME, "Markers and labels; coasts, borders, roads and north stay."
    ),
    ImageCategory.ARCHITECTURAL: Policy(
        SearchPriority.PREFERRED,
        EditScope.MODERATE,
        4,
        (_EVERY_LOCAL - {"rotate_quarter", "tilt"}) | _DIFFUSION,
        "Details and surroundings; the structure stands as it stood.",
    ),
    ImageCategory.NATURAL_SCENE: Policy(
        SearchPriority.BALANCED, EditScope.FLEXIBLE, 6, _EVERY_LOCAL | _DIFFUSION, "Broad changes that a photograph could show."
    ),
    ImageCategory.EVERYDAY_OBJECT: Policy(
        SearchPriority.BALANCED,
        EditScope.MODERATE,
        4,
        _EVERY_LOCAL | _DIFFUSION,
        "Colour, number and background of objects; each object stays recognisable.",
    ),
    ImageCategory.MIXED: Policy(
        SearchPriority.BALANCED, EditScope.MODERATE, 4, _EVERY_LOCAL | _DIFFUSION, "One region at a time; the parts stay apart."
    ),
    ImageCategory.ARTISTIC: Policy(
        SearchPriority.GENERATION_FRIENDLY, EditScope.VERY_FLEXIBLE, 8, _EVERY_LOCAL | _DIFFUSION, "Anything that stays a picture."
    ),
}


def check_policy(category: ImageCategory, ops: Sequence[LocalOp | EditOp]) -> tuple[str, ...]:
    """What a list of edits does against a category's policy, in words that a model can act on; empty where nothing."""
    policy = POLICIES[category]
    broken = []
    if len(ops) > policy.max_edits:
        broken.append(f"{len(ops)} edits are more than the {policy.max_edits} that images of category {category} may get")
    forbidden = sorted({op.op for op in ops} - policy.allowed)
    if forbidden:
        broken.append(f"{', '.join(forbidden)}: not on images of category {category}. {policy.rule}")
    return tuple(broken)
