"""What makes two questions on images the same: an exact digest, and a fingerprint that survives what is done to copies.

The image's part is a grid of brightness and colour, which `shared.images` compares: copies that were stored again, scaled, cropped,
mirrored or edited in a small place are found, and drawn scenes of one template, which differ in the height of one bar, stay apart. The
question's part are its words without idle ones, and the answer by its meaning.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shared.domain import QuestionType
from shared.images.decoding import DecodedImage, Pixels
from shared.images.grids import GRID, grid_of
from shared.prompt import LETTERS

MIN_QUESTION_OVERLAP = 0.6
"""Shared words over all words from which two questions with the same answer are the same."""

_WORDS = re.compile(r"[^\W_]+(?:\.\d+)?|[+\-*/=<>%^°]")
_IDLE = frozenset(
    re.findall(
        r"\w+",
        "a an the it is are was were be there this that these those in on of please do does image picture photo figure show shown",
    )
)
_SPELLINGS = {"colour": "color", "grey": "gray", "centre": "center", "metre": "meter", "number": "count", "which": "what"}


FINGERPRINT_FIELDS: tuple[pa.Field, ...] = (
    pa.field("exact", pa.string()),
    pa.field("words", pa.list_(pa.string())),
    pa.field("answer", pa.string()),
    pa.field("short_side_px", pa.int32()),
    pa.field("cells", pa.binary()),
    pa.field("question_type", pa.string()),
)
"""Columns of a fingerprint in Parquet; the last one is null in files that older versions wrote."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A question on an image, as far as duplicates are concerned; either may be missing in items of benchmarks."""

    exact: str
    """Hex sha256 over pixels, question, choices and answer, as far as there are any."""
    words: tuple[str, ...]
    """The question's words in order, without idle ones."""
    answer: str
    """The answer in words: for multiple choice the choice itself."""
    short_side_px: int
    """0 where there is no image."""
    cells: bytes
    """32 × 32 × 3 grid of luma and colour differences; empty where there is no image."""
    question_type: QuestionType | None = None
    """None where an older version kept the fingerprint, or there is no question."""

    def grid(self) -> Pixels:
        """The cells as an array, 32 × 32 × 3."""
        return np.frombuffer(self.cells, dtype=np.uint8).reshape(GRID, GRID, 3)

    def to_row(self) -> dict[str, Any]:
        """The values of `FINGERPRINT_FIELDS`."""
        return {
            "exact": self.exact,
            "words": list(self.words),
            "answer": self.answer,
            "short_side_px": self.short_side_px,
            "cells": self.cells,
            "question_type": self.question_type.value if self.question_type else None,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Fingerprint":
        """The fingerprint of `to_row()`; other keys are left alone, and the columns of later versions may be missing."""
        kind = row.get("question_type")
        words = tuple(row["words"])
        return cls(row["exact"], words, row["answer"], row["short_side_px"], row["cells"], QuestionType(kind) if kind else None)


def fingerprint(
    image: DecodedImage | None, question: str, question_type: QuestionType | None, choices: Sequence[str], answer: str
) -> Fingerprint:
    """The fingerprint of a question on an image; items of benchmarks may lack the image (None) or the question ("" and None)."""
    digest = hashlib.sha256()
    pixels = image.pixels_sha256 if image else ""
    for part in (pixels, question.strip(), str(len(choices)), *(choice.strip() for choice in choices), answer.strip()):
        encoded = unicodedata.normalize("NFC", part).encode()
        digest.update(f"{len(encoded)}:".encode() + encoded)
    return Fingerprint(
        exact=digest.hexdigest(),
        words=question_words(question),
        answer=answer_words(question_type, choices, answer),
        short_side_px=min(image.width_px, image.height_px) if image else 0,
        cells=grid_of(image.preview).tobytes() if image else b"",
        question_type=question_type,
    )


def question_words(question: str) -> tuple[str, ...]:
    """The words that carry a question's meaning, in order: lower case, singular, without idle words."""
    text = unicodedata.normalize("NFKC", question).casefold().replace("how many", "count")
    words = [_SPELLINGS.get(word, word) for word in _WORDS.findall(text) if word not in _IDLE]
    return tuple(word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words)


def answer_words(question_type: QuestionType | None, choices: Sequence[str], answer: str) -> str:
    """An answer by its meaning: the choice behind a letter, numbers in one spelling."""
    text = answer.strip()
    if question_type is QuestionType.MULTIPLE_CHOICE and len(text) == 1 and text in LETTERS[: len(choices)]:
        text = choices[LETTERS.index(text)]
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def overlap(first: Set[str], second: Iterable[str]) -> float:
    """Shared words over all words of two questions; 0 where there are none."""
    theirs = frozenset(second)
    return len(first & theirs) / max(1, len(first | theirs))
