"""Whether a question repeats one of many, by its words alone.

MinHash signatures (rensa's; Broder, "On the resemblance and containment of documents", 1997) find the few that share most of their words,
and their word sets decide. A text decides alone only where it is *distinctive*: long enough, and not asked of many items. Where items
share a template ("How many tonnes of … did … export in …?"), the words that tell them apart must all agree, for they are the question.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rensa import RMinHash, RMinHashLSH

from services.quality.fingerprints import overlap

MIN_WORDS = 8
"""Different words, without idle ones, of a distinctive question."""
MAX_ITEMS = 3
"""Items that may share a distinctive question."""
MIN_JACCARD = 0.8
"""Shared words over all words from which two questions are one."""
MIN_JACCARD_SAME_ANSWER = 0.6

_MIN_JACCARD_TEMPLATE = 0.5
_MIN_SIBLINGS, _MAX_SIBLINGS = 3, 64
_NUM_HASHES, _NUM_BANDS = 128, 32
"""At a likeness of 0.6 all but one in a hundred pairs meet in a band, at 0.8 all."""
_SEED = 7
_NO_WORDS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Text:
    words: frozenset[str]
    numbers: frozenset[str]
    own: frozenset[str]
    """The words that tell it from others of its template; none where it has no template."""
    items: tuple[tuple[int, str], ...]
    """The items that ask it, with their answers."""


class TextIndex:
    """The distinctive ones of many questions."""

    def __init__(self, questions: Iterable[tuple[Sequence[str], str]]) -> None:
        """Takes each item's words, as `question_words` gives them, and its answer, in the order of the items."""
        asked: dict[frozenset[str], list[tuple[int, str]]] = {}
        for item, (each, answer) in enumerate(questions):
            words = frozenset(map(sys.intern, each))
            if len(words) >= MIN_WORDS:
                asked.setdefault(words, []).append((item, answer))
        self._index = RMinHashLSH(MIN_JACCARD_SAME_ANSWER, _NUM_HASHES, _NUM_BANDS)
        texts = list(asked)
        for number, words in enumerate(texts):
            self._index.insert(number, _signature(words))
        self._texts = [_Text(words, _numbers(words), self._own(texts, number), tuple(asked[words])) for number, words in enumerate(texts)]

    def __len__(self) -> int:
        return sum(len(text.items) for text in self._texts if len(text.items) <= MAX_ITEMS)

    def like(self, words: Sequence[str], answer: str) -> int | None:
        """The first item that a question repeats.

        Args:
            words: of the question, as `question_words` gives them.
            answer: in words; the same one makes up for less likeness.
        """
        asked = frozenset(words)
        if len(asked) < MIN_WORDS * MIN_JACCARD_SAME_ANSWER or not self._texts:
            return None
        met = (self._texts[number] for number in self._index.query(_signature(asked)))
        return min((item for text in met for item in _repeated(asked, answer, text)), default=None)

    def _own(self, texts: Sequence[frozenset[str]], number: int) -> frozenset[str]:
        words = texts[number]
        met = (texts[other] for other in sorted(self._index.query(_signature(words)))[:_MAX_SIBLINGS] if other != number)
        siblings = [other for other in met if overlap(words, other) >= _MIN_JACCARD_TEMPLATE]
        if len(siblings) < _MIN_SIBLINGS:
            return _NO_WORDS
        shared = Counter(word for sibling in siblings for word in words & sibling)
        return frozenset(word for word in words if shared[word] < len(siblings) / 2)


def _repeated(words: frozenset[str], answer: str, text: _Text) -> Iterator[int]:
    """The items whose question it is."""
    if len(text.items) > MAX_ITEMS or not text.own <= words or _numbers(words) != text.numbers:
        return
    likeness = overlap(words, text.words)
    for item, told in text.items:
        if likeness >= (MIN_JACCARD_SAME_ANSWER if answer and answer == told else MIN_JACCARD):
            yield item


def _signature(words: frozenset[str]) -> RMinHash:
    signature = RMinHash(_NUM_HASHES, _SEED)
    signature.update(sorted(words))
    return signature


def _numbers(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for word in words if any(character.isdigit() for character in word)) or _NO_WORDS
