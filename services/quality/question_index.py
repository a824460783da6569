"""Which of many fingerprints ask the same: by their words, or by most of their words and the answer."""

import sys

import numpy as np
import numpy.typing as npt

from services.quality.fingerprints import MIN_QUESTION_OVERLAP, Fingerprint, overlap

Rows = npt.NDArray[np.int64]
NO_ROWS: Rows = np.empty(0, dtype=np.int64)


class QuestionIndex:
    """Questions with their answers, numbered in the order in which they were added; each question and each answer is kept once."""

    def __init__(self) -> None:
        self._num = 0
        self._words: list[tuple[str, ...]] = []
        self._questions: dict[tuple[str, ...], int] = {}
        self._answers: dict[str, int] = {}
        self._asked = np.empty((16, 2), dtype=np.int32)

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
        if self._num == len(self._asked):
            self._asked = np.resize(self._asked, (2 * self._num, 2))
        self._asked[self._num] = question, self._answers.setdefault(fingerprint.answer, len(self._answers))
        self._num += 1

    def same_words(self, fingerprint: Fingerprint) -> Rows:
        """Who asks in the same words. Nobody where nothing is asked."""
        question = self._questions.get(fingerprint.words) if fingerprint.words else None
        return NO_ROWS if question is None else np.flatnonzero(self._asked[: self._num, 0] == question)

    def same_answer(self, fingerprint: Fingerprint, *, min_overlap: float = 0.0) -> Rows:
        """Who has the same answer, and so many of the question's words. Nobody where there is no answer."""
        answer = self._answers.get(fingerprint.answer) if fingerprint.answer else None
        if answer is None:
            return NO_ROWS
        rows = np.flatnonzero(self._asked[: self._num, 1] == answer)
        if min_overlap <= 0:
            return rows
        questions, which = np.unique(self._asked[rows, 0], return_inverse=True)
        words = frozenset(fingerprint.words)
        alike = np.array([overlap(words, self._words[question]) >= min_overlap for question in questions.tolist()])
        alike_rows: Rows = rows[alike[which]]
        return alike_rows

    def same_question(self, fingerprint: Fingerprint) -> Rows:
        """Who asks the same: in the same words, or in most of them with the same answer."""
        return np.union1d(self.same_words(fingerprint), self.same_answer(fingerprint, min_overlap=MIN_QUESTION_OVERLAP))
