"""Looking a fingerprint up among thousands, in about a millisecond."""

from collections.abc import Callable, Iterable

import numpy as np

from services.quality.fingerprints import (
    COARSE,
    GRID,
    MAX_COARSE_DIFFERENCE,
    Fingerprint,
    coarse_of,
    is_same_question,
    max_differences,
)
from shared.images.decoding import DecodedImage


class FingerprintIndex:
    """Fingerprints with the ids of those who left them; the first one added wins."""

    def __init__(self, entries: Iterable[tuple[str, Fingerprint]] = ()) -> None:
        self._ids: list[str] = []
        self._fingerprints: list[Fingerprint] = []
        self._by_exact: dict[str, str] = {}
        self._coarse = np.empty((16, COARSE * COARSE), dtype=np.int16)
        self._cells = np.empty((16, GRID, GRID, 3), dtype=np.uint8)
        self._sides = np.empty(16, dtype=np.int64)
        for entry_id, fingerprint in entries:
            self.add(entry_id, fingerprint)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, entry_id: str, fingerprint: Fingerprint) -> None:
        """Remembers a fingerprint."""
        at = len(self._ids)
        if at == len(self._sides):
            self._coarse, self._cells, self._sides = (
                np.concatenate([part, np.empty_like(part)]) for part in (self._coarse, self._cells, self._sides)
            )
        cells = fingerprint.grid()
        self._coarse[at], self._cells[at], self._sides[at] = coarse_of(cells), cells, fingerprint.short_side_px
        self._ids.append(entry_id)
        self._fingerprints.append(fingerprint)
        self._by_exact.setdefault(fingerprint.exact, entry_id)

    def exact(self, fingerprint: Fingerprint) -> str | None:
        """Who left the same pixels, question, choices and answer."""
        return self._by_exact.get(fingerprint.exact)

    def near(
        self, fingerprint: Fingerprint, image: DecodedImage | None = None, *, counts: Callable[[str], bool] = lambda _: True
    ) -> str | None:
        """Who left a copy or near-copy: the image looks the same and the question asks the same.

        Args:
            fingerprint: of the question on the image.
            image: the image itself, where it is at hand: crops are found more surely.
            counts: whether an entry counts, by its id; the others are looked past.
        """
        cells = fingerprint.grid()
        num = len(self._ids)
        coarse = np.abs(self._coarse[:num] - coarse_of(cells)).max(axis=1, initial=0)
        rows = np.flatnonzero(coarse <= MAX_COARSE_DIFFERENCE)
        if not len(rows):
            return None
        differences = np.abs(self._cells[rows].astype(np.int16) - cells.astype(np.int16)).max(axis=(1, 2))
        luma, colour = max_differences(np.minimum(self._sides[rows], fingerprint.short_side_px))
        looks_same = (differences[:, 0] <= luma) & (differences[:, 1:].max(axis=1) <= colour)
        alike = (int(row) for row in rows[looks_same] if is_same_question(self._fingerprints[row], fingerprint))
        return next((self._ids[row] for row in alike if counts(self._ids[row])), None)
