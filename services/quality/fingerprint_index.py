"""Looking a fingerprint up among thousands, in about a millisecond.

Only images whose question asks the same are compared, and so a copy of an image with another question is no duplicate. A copy that was
only stored again or scaled needs nothing more; one that was cropped needs the same answer as well or a picture with much detail, one that
was mirrored or edited needs the same answer.
"""

from collections.abc import Callable, Iterable

import numpy as np

from services.quality.fingerprints import Fingerprint
from services.quality.question_index import QuestionIndex
from shared.images.decoding import DecodedImage
from shared.images.likeness import Kind, Likeness
from shared.images.look import Look
from shared.images.look_index import LookIndex


class FingerprintIndex:
    """Fingerprints of questions on images, with the ids of those who left them; the first one added wins."""

    def __init__(self, entries: Iterable[tuple[str, Fingerprint]] = ()) -> None:
        self._ids: list[str] = []
        self._by_exact: dict[bytes, int] = {}
        self._looks = LookIndex()
        self._questions = QuestionIndex()
        for entry_id, fingerprint in entries:
            self.add(entry_id, fingerprint)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, entry_id: str, fingerprint: Fingerprint) -> None:
        """Remembers a fingerprint, which has an image."""
        self._by_exact.setdefault(bytes.fromhex(fingerprint.exact), len(self._ids))
        self._ids.append(entry_id)
        self._looks.add(fingerprint.grid(), fingerprint.short_side_px)
        self._questions.add(fingerprint)

    def exact(self, fingerprint: Fingerprint) -> str | None:
        """Who left the same pixels, question, choices and answer."""
        at = self._by_exact.get(bytes.fromhex(fingerprint.exact))
        return None if at is None else self._ids[at]

    def near(
        self, fingerprint: Fingerprint, image: DecodedImage | None = None, *, counts: Callable[[str], bool] = lambda _: True
    ) -> str | None:
        """Who left a copy or near-copy: the image is a copy and the question asks the same.

        Args:
            fingerprint: of the question on the image.
            image: the image itself, where it is at hand: crops are found more surely.
            counts: whether an entry counts, by its id; the others are looked past.
        """
        rows = self._questions.same_question(fingerprint)
        if not len(rows):
            return None
        look = Look(fingerprint.cells, fingerprint.short_side_px, image)
        plain = (self._ids[row] for row in self._looks.uncropped(look, rows))
        found: str | None = next((entry for entry in plain if counts(entry)), None)
        if found is not None:
            return found
        has_same_answer = np.zeros(len(self), dtype=np.bool_)
        has_same_answer[self._questions.same_answer(fingerprint)] = True
        alike = self._looks.alike(look, rows=rows, edited=has_same_answer)
        changed = (self._ids[each.row] for each in alike if _is_copy(each.likeness, bool(has_same_answer[each.row])))
        return next((entry for entry in changed if counts(entry)), None)


def _is_copy(likeness: Likeness, has_same_answer: bool) -> bool:
    return has_same_answer or (likeness.kind is Kind.COPY and likeness.means_something and not likeness.is_mirrored)
