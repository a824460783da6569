"""Looking a fingerprint up among thousands, in about a millisecond.

Only images whose question asks the same are compared, and so a copy of an image with another question is no duplicate. A copy that was
only stored again or scaled needs nothing more if it has some detail. One that was cropped, mirrored or edited needs the same answer: what
was done may have changed it, and drawings of one template differ by no more than what looks like a small edit. A picture without detail
(a blue sky) needs the same answer as well.
"""

from collections.abc import Callable, Iterable
from itertools import chain

import numpy as np

from services.quality.fingerprints import Fingerprint
from services.quality.question_index import QuestionIndex
from shared.images.decoding import DecodedImage
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

    @property
    def num_image_bytes(self) -> int:
        """Memory of the images' grids."""
        return self._looks.num_bytes

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
        same_question = self._questions.same_question(fingerprint)
        if not len(same_question):
            return None
        look = Look(fingerprint.cells, fingerprint.short_side_px, image)
        same_both = np.intersect1d(same_question, self._questions.same_answer(fingerprint), assume_unique=True)
        plain = (each for each in self._looks.uncropped(look, same_question) if each.likeness.means_something or each.row in same_both)
        alike = chain(plain, self._looks.alike(look, rows=same_both))
        return next((entry for each in alike if counts(entry := self._ids[each.row])), None)
