"""What may never be trained on: probes, the exam and registered benchmarks, as images and as texts.

- A copy of an item's picture is a leak whatever is asked about it, cropped or mirrored too, if the picture has enough detail to mean
  something; a picture without (a blue sky, one dot) leaks only together with its question and answer.
- A copy that was edited is a leak with its answer and a question that shares some words, or with a question or an answer that only few
  items have: drawings of one template differ by what looks like a small edit, and then by their answers. Where no template drew the
  candidate and all that differs lies together, it is a leak whatever is asked.
- A distinctive question is a leak whatever picture it is asked about.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

import numpy as np

from services.quality.fingerprints import Fingerprint
from services.quality.question_index import QuestionIndex, Rows
from services.quality.text_likeness import TextIndex
from shared.images.decoding import DecodedImage
from shared.images.grids import Flags
from shared.images.likeness import Kind
from shared.images.look import Look
from shared.images.look_index import Alike, LookIndex

MIN_OVERLAP_EDITED = 0.25
"""Shared words over all words from which a question with the same answer is related."""
MAX_FEW = 3
"""Items that may share a question or an answer that still tells them."""


class Matched(StrEnum):
    """What of an item leaked."""

    IMAGE = "image"
    TEXT = "text"
    BOTH = "image and text"


@dataclass(frozen=True, slots=True)
class FirewallItem:
    """An item behind the firewall, with an image, a question or both. `name` is told in verdicts: an exam item's must not say which."""

    name: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Leak:
    """A candidate that repeats an item: the item's name, what was recognised, and how, in words for people."""

    name: str
    matched: Matched
    detail: str


class Firewall:
    """Items that candidates may not repeat; the first one wins."""

    def __init__(self, items: Iterable[FirewallItem] = ()) -> None:
        """Takes all items at once; whether a text is distinctive is judged among them."""
        self._names: list[str] = []
        self._pictured: list[int] = []
        self._looks = LookIndex()
        self._questions = QuestionIndex()
        self._texts = TextIndex(self._add(item) for item in items)

    def _add(self, item: FirewallItem) -> tuple[tuple[str, ...], str]:
        mark = item.fingerprint
        if mark.cells:
            self._pictured.append(len(self._names))
            self._looks.add(mark.grid(), mark.short_side_px)
            self._questions.add(mark)
        self._names.append(item.name)
        return mark.words, mark.answer

    def __len__(self) -> int:
        return len(self._names)

    def leak(self, fingerprint: Fingerprint, image: DecodedImage | None = None, *, is_drawn: bool = False) -> Leak | None:
        """What a candidate repeats, or None.

        Args:
            fingerprint: of the candidate.
            image: its image, where it is at hand: crops are found more surely.
            is_drawn: whether a template drew it, so that an edited copy may be another drawing; it is quicker, too.
        """
        found = self._picture_leak(fingerprint, image, is_drawn) if fingerprint.cells and len(self._looks) else None
        if found is not None:
            return found
        item = self._texts.like(fingerprint.words, fingerprint.answer)
        return None if item is None else Leak(self._names[item], Matched.TEXT, f"the question of {self._names[item]}")

    def _picture_leak(self, fingerprint: Fingerprint, image: DecodedImage | None, is_drawn: bool) -> Leak | None:
        look = Look(fingerprint.cells, fingerprint.short_side_px, image)
        same_question = self._flags(self._questions.same_question(fingerprint))
        same_both = same_question & self._flags(self._questions.same_answer(fingerprint))
        related = self._flags(*self._related(fingerprint))
        for each in chain(self._looks.uncropped(look), self._looks.alike(look, edited=related if is_drawn else None)):
            is_edited = each.likeness.kind is Kind.EDITED
            if is_edited and not related[each.row] and not each.likeness.is_one_edit:
                continue
            if each.likeness.means_something or same_both[each.row]:
                return self._told(each, bool(same_question[each.row]))
        return None

    def _related(self, fingerprint: Fingerprint) -> Iterator[Rows]:
        """The items of which an edited picture would be a leak."""
        yield self._questions.same_answer(fingerprint, min_overlap=MIN_OVERLAP_EDITED)
        for rows in (self._questions.same_words(fingerprint), self._questions.same_answer(fingerprint)):
            if len(rows) <= MAX_FEW:
                yield rows

    def _flags(self, *groups: Rows) -> Flags:
        flags = np.zeros(len(self._looks), dtype=np.bool_)
        for rows in groups:
            flags[rows] = True
        return flags

    def _told(self, alike: Alike, has_same_question: bool) -> Leak:
        name = self._names[self._pictured[alike.row]]
        matched = Matched.BOTH if has_same_question else Matched.IMAGE
        likeness = str(alike.likeness)
        article = "an" if likeness.startswith("e") else "a"
        return Leak(name, matched, f"{article} {likeness} of {'' if has_same_question else 'the picture of '}{name}")
