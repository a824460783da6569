"""Which of many fingerprints ask the same: by their words, or by most of their words and the answer."""

import sys
from array import array
from collections import defaultdict

import numpy as np
import numpy.typing as npt

from services.quality.fingerprints import MIN_QUESTION_OVERLAP, Fingerprint

Rows = npt.NDArray[np.int64]
NO_ROWS: Rows = np.empty(0, dtype=np.int64)


class QuestionIndex:
    """Questions with their answers, numbered in the order in which they were added; equal ones are kept once."""

    def __init__(self) -> None:
        self._words: list[tuple[str, ...]] = []
        self._num_words = array("H")
        self._questions: dict[tuple[str, ...], int] = {}
        self._rows: list[array[int]] = []
        self._by_answer: defaultdict[str, dict[int, array[int]]] = defaultdict(dict)
        self._num = 0

    def __len__(self) -> int:
        return self._num

    def add(self, fingerprint: Fingerprint) -> None:
        """Remembers a fingerprint's question and answer."""
        question = self._questions.get(fingerprint.words)
        if question is None:
            question = len(self._words)
            words = tuple(sys.intern(word) for word in fingerprint.words)
            self._questions[words] = question
            self._words.append(words)
            self._num_words.append(len(set(words)))
            self._rows.append(array("q"))
        self._rows[question].append(self._num)
        self._by_answer[fingerprint.answer].setdefault(question, array("q")).append(self._num)
        self._num += 1

    def same_words(self, fingerprint: Fingerprint) -> Rows:
        """Who asks in the same words. Nobody where nothing is asked."""
        question = self._questions.get(fingerprint.words) if fingerprint.words else None
        return NO_ROWS if question is None else np.array(self._rows[question], dtype=np.int64)

    def same_answer(self, fingerprint: Fingerprint, *, min_overlap: float = 0.0) -> Rows:
        """Who has the same answer, and so many of the question's words. Nobody where there is no answer."""
        if not fingerprint.answer:
            return NO_ROWS
        words = frozenset(fingerprint.words)
        questions = self._by_answer.get(fingerprint.answer, {}).items()
        found = [rows for question, rows in questions if self._overlap(words, question) >= min_overlap]
        return np.sort(np.concatenate([np.array(rows, dtype=np.int64) for rows in found])) if found else NO_ROWS

    def _overlap(self, words: frozenset[str], question: int) -> float:
        shared = len(words.intersection(self._words[question]))
        return shared / max(1, len(words) + self._num_words[question] - shared)

    def same_question(self, fingerprint: Fingerprint) -> Rows:
        """Who asks the same: in the same words, or in most of them with the same answer."""
        return np.union1d(self.same_words(fingerprint), self.same_answer(fingerprint, min_overlap=MIN_QUESTION_OVERLAP))
