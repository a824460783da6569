"""Candidates that are wrong in one way each: the label, the category, or a question that needs no picture."""

import json
from dataclasses import replace
from random import Random

from services.generators.rendered.candidates import CELLS
from shared.domain import Candidate, Cell, ImageCategory, QuestionType
from shared.prompt import LETTERS

_OTHER_WORDS = ("crimson", "sideways", "an elephant", "zzz")


def mislabelled(candidate: Candidate, rng: Random) -> Candidate:
    """The candidate with another answer of the same shape."""
    kind = candidate.cell.question_type
    if kind is QuestionType.MULTIPLE_CHOICE:
        answer = rng.choice([letter for letter in LETTERS[: len(candidate.choices)] if letter != candidate.answer])
    elif kind is QuestionType.NUMERIC:
        answer = f"{float(candidate.answer) + rng.choice([-2, -1, 1, 2, 10]):g}"
    else:
        answer = rng.choice([word for word in _OTHER_WORDS if word != candidate.answer])
    return replace(candidate, answer=answer)


def miscategorised(candidate: Candidate, rng: Random) -> Candidate:
    """The candidate with a scene that says another category than its cell."""
    others = [cell.category for cell in CELLS if cell.category is not candidate.cell.category]
    return replace(candidate, scene=json.dumps(json.loads(candidate.scene) | {"category": rng.choice(others).value}))


def misplaced(candidate: Candidate, rng: Random) -> Candidate:
    """The candidate, claiming another cell than the one that was asked for."""
    others = [category for category in ImageCategory if category is not candidate.cell.category]
    return replace(candidate, cell=Cell(rng.choice(others), candidate.cell.question_type))


TEXT_ONLY: tuple[tuple[str, str], ...] = (
    ("What is 7 + 5?", "12"),
    ("How many legs does a spider have?", "8"),
    ("How many days does a week have?", "7"),
    ("What is the capital of France?", "Paris"),
    ("What colour is a ripe tomato usually?", "red"),
    ("How many sides does a triangle have?", "3"),
    ("Which month comes after May?", "June"),
    ("How many minutes are there in two hours?", "120"),
    ("The picture shows 4 red cars. How many red cars does it show?", "4"),
    ("Which is larger, 9 or 6?", "9"),
)
"""Questions with their answers that nobody needs a picture for, whatever picture they are asked about."""
