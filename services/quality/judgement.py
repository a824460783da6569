"""Judging a label that no scene proves, from what models answered. Pure: the answers are prepared by `judges.py`.

Three questions, cheapest first: is the image needed at all, does it show what the cell asks for, and do models that never saw the label
come to it by themselves? A model that says it can't tell, or whose answer can't be read, agrees with nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from services.quality.refusal import Refusal
from shared.answers import Outcome, check_reference, grade
from shared.domain import Candidate, Cell, ImageCategory, QuestionType, RejectionReason
from shared.prompt import LETTERS

_MAX_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True)
class Solution:
    """One model's answer to a candidate's question, graded against the label that it never saw."""

    model: str
    answered: str
    """Empty where the model said that it can't tell."""
    outcome: Outcome
    extracted: str
    """What grading read off the answer; empty where nothing."""


@dataclass(frozen=True, slots=True)
class Categorised:
    """What a model says that an image with its question is."""

    category: ImageCategory
    reason: str


def read_solution(candidate: Candidate, answered: str | None, model: str, order: Sequence[int] = ()) -> Solution:
    """A model's answer, graded.

    Args:
        candidate: the question with its label.
        answered: what the model wrote; None where it said that it can't tell.
        model: its name.
        order: where the choices were shown in another order, the place in the candidate's own of each that was shown.
    """
    places = order or range(len(candidate.choices))
    choices = [candidate.choices[place] for place in places]
    label = LETTERS[list(places).index(LETTERS.index(candidate.answer))] if choices else candidate.answer
    found = grade(answered or "", question_type=candidate.cell.question_type, answer=label, choices=choices, tolerance=candidate.tolerance)
    extracted = found.extracted or ""
    if extracted and extracted in LETTERS[: len(choices)]:
        extracted = LETTERS[places[LETTERS.index(extracted)]]
    return Solution(model, answered or "", found.outcome, extracted)


def text_only_orders(candidate: Candidate) -> tuple[tuple[int, ...], ...]:
    """In which orders a question's choices are shown to a model that does not see the image; `()` is no choices.

    A question with choices is asked twice, and each choice stands in another place the second time: a guess that is right by luck, or for
    its letter, hardly is so again.
    """
    if candidate.cell.question_type is not QuestionType.MULTIPLE_CHOICE:
        return ((),)
    rng, num = Random(f"{candidate.candidate_id}/text only"), len(candidate.choices)
    first = rng.sample(range(num), num)
    by = rng.randrange(1, num)
    return tuple(first), tuple(first[by:] + first[:by])


def check_necessity(attempts: Sequence[Solution]) -> Refusal | None:
    """The image is needed: without it, not every attempt comes to the label."""
    if not attempts or any(attempt.outcome is not Outcome.CORRECT for attempt in attempts):
        return None
    return Refusal(RejectionReason.NEEDS_NO_IMAGE, f"{attempts[0].model} answers {_shown(attempts[0])} without the image")


def check_category(judged: Categorised, cell: Cell) -> Refusal | None:
    """Image and question are of the category that was asked for."""
    if judged.category is cell.category:
        return None
    return Refusal(RejectionReason.WRONG_CELL, f"judged {judged.category.value}, not {cell.category.value}: {judged.reason}")


def check_agreement(candidate: Candidate, solutions: Sequence[Solution], num_required: int) -> Refusal | None:
    """Enough solvers answered, and every one comes to the label.

    Where all come to one other answer instead, the label may be wrong: that is quarantined, for people to look at.
    """
    if len(solutions) < num_required:
        return Refusal(RejectionReason.UNVERIFIABLE, f"{len(solutions)} models solved it blindly, and {num_required} must")
    if all(each.outcome is Outcome.CORRECT for each in solutions):
        return None
    told = ", ".join(f"{each.model} says {_shown(each)}" for each in solutions)
    if all(each.outcome is Outcome.INCORRECT for each in solutions) and _are_one_answer(candidate, solutions):
        return Refusal(RejectionReason.QUARANTINED, f"the label is {candidate.answer!r}, but {told}")
    return Refusal(RejectionReason.DISPUTED, f"the label is {candidate.answer!r}; {told}")


def _are_one_answer(candidate: Candidate, solutions: Sequence[Solution]) -> bool:
    first = solutions[0]
    if candidate.choices:
        return len({each.extracted for each in solutions}) == 1
    question_type, tolerance = candidate.cell.question_type, candidate.tolerance
    # The whole answer holds the unit that what was extracted of it lacks.
    is_reference = not check_reference(question_type=question_type, answer=first.answered, choices=(), tolerance=tolerance)
    reference = first.answered if is_reference else first.extracted
    return all(
        grade(each.answered, question_type=question_type, answer=reference, tolerance=tolerance).is_correct for each in solutions[1:]
    )


def _shown(solution: Solution) -> str:
    said = solution.extracted or solution.answered
    if not said:
        return "that it can't tell"
    return repr(said if len(said) <= _MAX_SHOWN_CHARS else f"{said[: _MAX_SHOWN_CHARS - 1]}…")
