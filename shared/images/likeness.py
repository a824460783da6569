"""What a query and a known image, laid over each other, have in common: a copy, a near-copy, an edited copy, or nothing.

A copy differs everywhere by a little, a near-copy but for a few cells, an edited copy but for a small part that lies together. Other
pictures differ somewhere by a lot, or everywhere by some: in brightness, in colour, or in where their details are. How much detail agrees
says how much the likeness is worth: two blue skies are alike, and that means nothing.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from shared.images.alignment import MIN_COVERAGE
from shared.images.decoding import Pixels
from shared.images.details import MIN_DETAILS, agreement, is_detail, lie_together, spread
from shared.images.grids import GRID, Flags, Floats, Windows, halved, halved_flags, weights
from shared.images.look import Look

COLOR_GRID = GRID // 2
"""Cells a side of the grid that is kept of colour differences: codecs keep them at half the resolution."""

MAX_OVER, MAX_OVER_NEAR = 4, 12
"""Cells of 1,024 that may differ by more than the limit in a copy, and in a near-copy: a palette or a codec may do as much."""
MAX_OVER_EDITED = 0.09
"""Share of the cells that may do so in an edited copy."""
MAX_SPREAD_EDITED = 14
"""Blocks of 4 × 4 cells, of 64, in which more than one cell does: edits lie together, other drawings of one template are spread."""
MAX_LOST_EDITED = 0.12
"""Share of the known image's details that may be gone in an edited copy: of a drawing with one digit changed, it is more."""
MAX_RMS = 7.0
"""Root mean square of the remaining differences of brightness, of 255."""
MAX_COLOR_RMS = 9.0
MAX_SHIFT = 4.5
"""Mean difference of brightness, of 255: codecs and scaling keep the mean."""
MAX_COLOR_SHIFT = 2.0
MAX_COLOR_SHIFT_EDITED = 2.8
_MIN_CROPPED = 0.01

Sides = npt.NDArray[np.int32]


class Kind(IntEnum):
    """How alike two images are."""

    OTHER = 0
    EDITED = 1
    NEAR = 2
    COPY = 3


@dataclass(frozen=True, slots=True)
class Likeness:
    """The comparison of a query with one known image."""

    kind: Kind
    num_details: int
    """Cells with detail in which both agree."""
    is_mirrored: bool = False
    is_cropped: bool = False
    is_one_edit: bool = False
    """Whether all that differs lies together, which other pictures of one layout do not do."""

    @property
    def means_something(self) -> bool:
        """Whether so much detail does not agree by chance."""
        return self.num_details >= MIN_DETAILS

    def __str__(self) -> str:
        words = (
            ["mirrored"] * self.is_mirrored
            + ["cropped"] * self.is_cropped
            + ["edited"] * (self.kind is Kind.EDITED)
            + ["near"] * (self.kind is Kind.NEAR)
        )
        return " ".join([*words, "copy"])


def max_differences(short_side_px: Sides) -> tuple[Floats, Floats]:
    """The largest differences of brightness and of colour in a copy, of 255, by the shorter side of the smaller image.

    The fewer pixels a cell has, the more re-encoding and rescaling change it; codecs keep colour at half the resolution.
    """
    pixels_per_cell = (short_side_px / GRID).astype(np.float32)
    return np.clip(66 / pixels_per_cell, 16, 33), np.clip(80 / pixels_per_cell, 20, 40)


def colors_of(cells: Pixels) -> Pixels:
    """The colour differences of a 32 × 32 × 3 grid as they are kept, 2 × 16 × 16."""
    kept: Pixels = np.rint(halved(cells[..., 1:].transpose(2, 0, 1).astype(np.float32))).astype(np.uint8)
    return kept


def compare(look: Look, windows: Windows, luma: Floats, colors: Floats, short_sides_px: Sides) -> list[Likeness]:
    """Compares a query with known images in windows of the reduced query.

    Args:
        look: the query.
        windows: n × 4.
        luma: of the known images, n × 32 × 32.
        colors: of the known images, n × 2 × 16 × 16.
        short_sides_px: of the known images.
    """
    found = _differences(look, windows, luma, colors, short_sides_px)
    num_same, num_same_color = (np.maximum(same.sum(axis=(1, 2)), 1) for same in (found.same, found.same_color))
    rms = np.sqrt((found.luma**2).sum(axis=(1, 2)) / num_same)
    color_rms = np.sqrt((found.colors**2).sum(axis=(1, 2, 3)) / (2 * num_same_color))
    shift = np.abs(found.luma.sum(axis=(1, 2))) / num_same
    color_shift = np.abs(found.colors.sum(axis=(2, 3))).max(axis=1) / num_same_color
    agrees, num_details = agreement(luma, found.luma, found.same)
    alike = (rms <= MAX_RMS) & (color_rms <= MAX_COLOR_RMS) & (shift <= MAX_SHIFT) & agrees
    num_over, num_covered = found.over.sum(axis=(1, 2)), found.covered.sum(axis=(1, 2))
    is_copy = alike & (num_over <= MAX_OVER) & (color_shift <= MAX_COLOR_SHIFT)
    num_lost = (is_detail(luma) & found.over).sum(axis=(1, 2))
    is_small = (num_over <= MAX_OVER_EDITED * num_covered) & (spread(found.over) <= MAX_SPREAD_EDITED)
    is_most = (num_lost <= MAX_LOST_EDITED * (num_details + num_lost)) & (num_details >= MIN_DETAILS)
    is_edited = alike & is_small & is_most & (color_shift <= MAX_COLOR_SHIFT_EDITED)
    is_near = is_edited & (num_over <= MAX_OVER_NEAR) & (color_shift <= MAX_COLOR_SHIFT)
    kinds = np.select([is_copy, is_near, is_edited], [Kind.COPY, Kind.NEAR, Kind.EDITED], Kind.OTHER)
    is_cropped = np.abs(look.to_whole(windows) - np.round(windows)).max(axis=1) > _MIN_CROPPED
    is_one_edit = (kinds == Kind.EDITED) & lie_together(found.over)
    return [
        Likeness(Kind(int(kind)), int(num), bool(window[0] > window[1]), bool(cropped), bool(one_edit))
        for kind, num, window, cropped, one_edit in zip(kinds, num_details, windows, is_cropped, is_one_edit, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Differences:
    """Of n comparisons. `luma` and `colors` are 0 where the query covers nothing, or the difference is over the limit."""

    luma: Floats
    colors: Floats
    covered: Flags
    over: Flags
    same: Flags
    same_color: Flags


def _differences(look: Look, windows: Windows, luma: Floats, colors: Floats, short_sides_px: Sides) -> _Differences:
    grids, covered = _color_grids(look.pixels, windows)
    max_luma, max_color = max_differences(np.minimum(short_sides_px, look.short_side_px))
    by_luma = grids[:, 0] - luma
    covered_color = halved_flags(covered)
    by_color = halved(grids[:, 1:]) - colors
    over_color = covered_color & (np.abs(by_color).max(axis=1) > max_color[:, None, None])
    over = covered & ((np.abs(by_luma) > max_luma[:, None, None]) | over_color.repeat(2, axis=1).repeat(2, axis=2))
    same, same_color = covered & ~over, covered_color & halved_flags(~over)
    return _Differences(by_luma * same, by_color * same_color[:, None], covered, over, same, same_color)


def _color_grids(pixels: Floats, windows: Windows) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Luma and colour differences in windows, n × 3 × 32 × 32, and which cells the query covers."""
    height, width = pixels.shape[:2]
    across, covered_across = weights(width, GRID, windows[:, 0], windows[:, 1])
    down, covered_down = weights(height, GRID, windows[:, 2], windows[:, 3])
    rows = np.matmul(down, pixels.reshape(height, -1)).reshape(len(windows), GRID, width, 3).transpose(0, 3, 1, 2)
    return np.matmul(rows, across.transpose(0, 2, 1)[:, None]), covered_down[:, :, None] * covered_across[:, None, :] > MIN_COVERAGE
