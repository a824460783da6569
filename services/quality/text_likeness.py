"""Whether a question repeats one of many, by its words alone.

MinHash signatures (rensa's; Broder, "On the resemblance and containment of documents", 1997) find the few that share most of their words,
and their word sets decide. A text decides alone only where it is *distinctive*: long enough, and not asked of many items. Where items
share a template ("How many tonnes of … did … export in …?"), the words that tell them apart must all agree, for they are the question.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True, slots=True)
class _Text:
    item: int
    answer: str
    words: frozenset[str]
    numbers: frozenset[str]
    own: frozenset[str]
    """The words that tell it from others of its template; none where it has no template."""


class TextIndex:
    """The distinctive ones of many questions."""

    def __init__(self, questions: Iterable[tuple[Sequence[str], str]]) -> None:
        """Takes each item's words, as `question_words` gives them, and its answer, in the order of the items."""
        asked: dict[frozenset[str], list[tuple[int, str]]] = {}
        for item, (each, answer) in enumerate(questions):
            asked.setdefault(frozenset(each), []).append((item, answer))
        texts = [words for words in asked if len(words) >= MIN_WORDS]
        self._index = RMinHashLSH(MIN_JACCARD_SAME_ANSWER, _NUM_HASHES, _NUM_BANDS)
        signatures = [_signature(words) for words in texts]
        for number, signature in enumerate(signatures):
            self._index.insert(number, signature)
        self._texts: list[tuple[_Text, ...]] = []
        for number, words in enumerate(texts):
            items = asked[words] if len(asked[words]) <= MAX_ITEMS else ()
            siblings = (texts[other] for other in sorted(self._index.query(signatures[number]))[:_MAX_SIBLINGS] if other != number)
            own = _own(words, siblings) if items else words
            self._texts.append(tuple(_Text(item, answer, words, _numbers(words), own) for item, answer in items))

    def __len__(self) -> int:
        return sum(map(len, self._texts))

    def like(self, words: Sequence[str], answer: str) -> int | None:
        """The first item that a question repeats.

        Args:
            words: of the question, as `question_words` gives them.
            answer: in words; the same one makes up for less likeness.
        """
        asked = frozenset(words)
        if len(asked) < MIN_WORDS * MIN_JACCARD_SAME_ANSWER or not self._texts:
            return None
        numbers = _numbers(asked)
        met = (text for number in self._index.query(_signature(asked)) for text in self._texts[number])
        return min((text.item for text in met if _repeats(asked, numbers, answer, text)), default=None)


def _repeats(words: frozenset[str], numbers: frozenset[str], answer: str, text: _Text) -> bool:
    least = MIN_JACCARD_SAME_ANSWER if answer and answer == text.answer else MIN_JACCARD
    return numbers == text.numbers and text.own <= words and overlap(words, text.words) >= least


def _own(words: frozenset[str], others: Iterable[frozenset[str]]) -> frozenset[str]:
    siblings = [other for other in others if overlap(words, other) >= _MIN_JACCARD_TEMPLATE]
    if len(siblings) < _MIN_SIBLINGS:
        return frozenset()
    shared = Counter(word for sibling in siblings for word in words & sibling)
    return frozenset(word for word in words if shared[word] < len(siblings) / 2)


def _signature(words: frozenset[str]) -> RMinHash:
    signature = RMinHash(_NUM_HASHES, _SEED)
    signature.update(sorted(words))
    return signature


def _numbers(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for word in words if any(character.isdigit() for character in word))
