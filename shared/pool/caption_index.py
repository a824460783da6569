"""BM25 over texts that come in segments: each is indexed once, and scored as if all had been indexed together.

bm25s computes every score when it indexes, which makes searches fast but fixes the rarity of words (idf) to one segment. Its index holds
how many of the segment's texts have a word, so that a search can put the rarity over all segments in its place.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from shared.pool.words import words_of

Scores = npt.NDArray[np.float32]


class CaptionIndex:
    """The words of a fixed sequence of texts, by position."""

    def __init__(self, texts: Iterable[str]) -> None:
        vocabulary: dict[str, int] = {"": 0}
        documents = [[vocabulary.setdefault(word, len(vocabulary)) for word in words_of(text)] for text in texts]
        # It loads scipy, which a console that only counts should not wait for.
        import bm25s

        index = bm25s.BM25(method="lucene")
        self._has_words = any(documents)
        if self._has_words:
            index.index((documents, vocabulary), show_progress=False)
            self._data, self._texts, self._starts = (index.scores[name] for name in ("data", "indices", "indptr"))
        self._vocabulary = vocabulary
        self._num_texts = len(documents)

    def __len__(self) -> int:
        return self._num_texts

    def num_with(self, word: str) -> int:
        """How many texts have a word."""
        at = self._vocabulary.get(word)
        return 0 if at is None or not self._has_words else int(self._starts[at + 1] - self._starts[at])

    def add_to(self, scores: Scores, word: str, rarity: float) -> None:
        """Adds to the texts' scores what a word contributes, given its rarity over all segments."""
        num_with = self.num_with(word)
        if num_with:
            at = self._vocabulary[word]
            part = slice(self._starts[at], self._starts[at + 1])
            scores[self._texts[part]] += self._data[part] * np.float32(rarity / _rarity(num_with, self._num_texts))


def score_texts(indexes: Sequence[CaptionIndex], query: str) -> Scores:
    """The scores of all texts of all segments in order; zero where no word of the query stands."""
    total = sum(map(len, indexes))
    scores = np.zeros(total, dtype=np.float32)
    for word, times in Counter(words_of(query)).items():
        num_with = sum(index.num_with(word) for index in indexes)
        start = 0
        for index in indexes:
            index.add_to(scores[start : start + len(index)], word, times * _rarity(num_with, total))
            start += len(index)
    return scores


def _rarity(num_with: int, num_texts: int) -> float:
    """Lucene's idf, as bm25s computes it."""
    return math.log(1 + (num_texts - num_with + 0.5) / (num_with + 0.5))
