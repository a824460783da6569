"""Known images, and which of them a query is a copy of: a coarse look at all, an exact one at few."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.images.alignment import align
from shared.images.coarse_search import CoarseSearch, Rows, doubled
from shared.images.decoding import Pixels
from shared.images.details import agreement
from shared.images.grids import GRID, Flags
from shared.images.likeness import Kind, Likeness, colors_of, compare, max_differences
from shared.images.look import Look
from shared.images.sieve import NO_STARTS, Starts, sieve
from shared.images.windows import VARIANTS

MAX_ALL_CELLS = 9.0
"""Root mean squared difference over the 8 × 8 grid, of 255, up to which an image may be a copy."""
MAX_MOST_CELLS = 9.0
"""The same without the worst cells, up to which it may be an edited copy."""
MAX_SIEVED, MAX_ALIGNED, MAX_COMPARED = 128, 16, 6
"""Known images that are looked at finely, windows that are laid over the query, and windows that are compared in the end."""
MAX_LEFT = 9.0
"""Mean difference over the cells that agree best, of 255, up to which a window is worth going on with after the first steps."""
_FIRST_STEPS, _LAST_STEPS = 2, 3


@dataclass(frozen=True, slots=True)
class Alike:
    """A known image by its number, and how alike it is."""

    row: int
    likeness: Likeness


class LookIndex:
    """Grids of images, in the order in which they were added."""

    def __init__(self) -> None:
        self._coarse = CoarseSearch()
        self._luma = np.empty((16, GRID, GRID), dtype=np.uint8)
        self._colors = np.empty((16, 2, GRID // 2, GRID // 2), dtype=np.uint8)
        self._short_sides_px = np.empty(16, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._coarse)

    @property
    def num_bytes(self) -> int:
        """Memory of what is kept, without what is held ready for more."""
        each = self._luma[0].nbytes + self._colors[0].nbytes + self._short_sides_px.itemsize
        return int(len(self) * each) + self._coarse.num_bytes

    def add(self, cells: Pixels, short_side_px: int) -> None:
        """Remembers an image by its 32 × 32 × 3 grid."""
        at = len(self)
        if at == len(self._short_sides_px):
            self._luma, self._colors, self._short_sides_px = doubled(self._luma), doubled(self._colors), doubled(self._short_sides_px)
        self._luma[at], self._colors[at], self._short_sides_px[at] = cells[..., 0], colors_of(cells), short_side_px
        self._coarse.add(cells)

    def uncropped(self, look: Look, rows: Rows | None = None) -> list[Alike]:
        """The images that the query is an upright, unedited copy of, scaled or stored again; pictures without detail are among them."""
        cells = np.frombuffer(look.cells, dtype=np.uint8).reshape(GRID, GRID, 3)
        rows = self._coarse.uncropped(cells, rows)
        if not len(rows):
            return []
        known = self._known_luma(rows)
        luma = cells[..., 0] - known
        colors = np.abs(self._colors[rows].astype(np.int16) - colors_of(cells)).max(axis=(1, 2, 3))
        max_luma, max_color = max_differences(np.minimum(self._short_sides_px[rows], look.short_side_px))
        copies = np.flatnonzero((np.abs(luma).max(axis=(1, 2)) <= max_luma) & (colors <= max_color))
        _, num_details = agreement(known[copies], luma[copies], np.ones((len(copies), GRID, GRID), dtype=np.bool_))
        return [Alike(row, Likeness(Kind.COPY, num)) for row, num in zip(rows[copies].tolist(), num_details.tolist(), strict=True)]

    def alike(self, look: Look, *, rows: Rows | None = None, edited: Flags | None = None) -> Iterator[Alike]:
        """The images that the query is a copy of, cropped, mirrored or edited as it may be, in their order.

        Args:
            look: the query.
            rows: looks only at these; at all of them where it is None.
            edited: for every image whether edited copies count, besides unedited ones; for all of them where it is None.
        """
        starts = self._starts(look, rows, edited)
        if not len(starts.rows):
            return
        numbers = starts.rows
        windows = look.to_reduced(VARIANTS[starts.variants])
        windows, left = align(look.luma, self._known_luma(numbers), windows, _FIRST_STEPS)
        best = np.argsort(left, kind="stable")[:MAX_COMPARED]
        best = best[left[best] <= MAX_LEFT]
        if not len(best):
            return
        numbers = numbers[best]
        luma = self._known_luma(numbers)
        windows, _ = align(look.luma, luma, windows[best], _LAST_STEPS)
        likenesses = compare(look, windows, luma, self._colors[numbers].astype(np.float32), self._short_sides_px[numbers])
        for row in np.unique(numbers):
            likeness = max((likenesses[at] for at in np.flatnonzero(numbers == row)), key=lambda each: (each.kind, each.num_details))
            if likeness.kind >= Kind.NEAR or (likeness.kind is Kind.EDITED and (edited is None or edited[row])):
                yield Alike(int(row), likeness)

    def _starts(self, look: Look, rows: Rows | None, edited: Flags | None) -> Starts:
        """The images that are worth laying over the query, with windows to begin in."""
        found = self._coarse.search(look.cells, rows, edited)
        may_be_edited = found.most_cells / MAX_MOST_CELLS
        if edited is not None:
            may_be_edited = np.where(edited[found.rows], may_be_edited, np.inf)
        distance = np.minimum(found.all_cells / MAX_ALL_CELLS, may_be_edited)
        nearest = np.argsort(distance, kind="stable")[:MAX_SIEVED]
        found = found.take(nearest[distance[nearest] <= 1])
        if not len(found.rows):
            return NO_STARTS
        return sieve(look.cells, found, self._known_luma(found.rows), self._colors[found.rows], MAX_ALIGNED)

    def _known_luma(self, rows: Rows) -> npt.NDArray[np.float32]:
        return self._luma[rows].astype(np.float32)
