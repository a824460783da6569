"""Typed graders: the one truth about what is correct, for diagnosis, scoring and reward.

Where a completion reasons before it answers, its last `\\boxed{…}` counts, else what follows its last "answer:" or "answer is", else all
of it. What can't be read as one answer is ungradable, a third outcome beside correct and incorrect. Grading is pure, total and linear
in the completion's length.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from shared.answer_text import final_segment, plain, tidy
from shared.domain import ErrorType, QuestionType
from shared.prompt import LETTERS
from shared.quantities import Quantity, digits_for_words, find_quantities

RELATIVE_TOLERANCE = 0.01
"""Allowed share of a reference that is no whole number, where no absolute tolerance is set."""
NEAR_MISS_SHARE = 0.1

_MAX_TEXT_WORDS = 30
_MAX_EXTRACTED_CHARS = 80
_LONE_LETTER = re.compile(r"[^A-Za-z0-9]{0,8}([A-Ja-j])[^A-Za-z0-9]{0,8}")
_LEADING_LETTER = re.compile(
    r"[^A-Za-z0-9]{0,8}(?:(?:option|choice)\s[(\[]?)?([A-J])(?![A-Za-z0-9'])(?!\s(?!or\b|and\b|is\b|because\b|since\b|as\b)[a-z])"
)
_OTHER_LETTER = re.compile(
    r"[\s)\].*:]{0,4}(?:,|/|&|\||-|\bor\b|\band\b|\s)[\s(]{0,3}(?:or\s|and\s)?[(\[]?([A-J])(?![A-Za-z0-9'])(?!\s(?!or\b|and\b|is\b)[a-z])"
)
_LISTED_LETTER = re.compile(r"(?:^|[\s(])([A-J])[.):](?=\s|$)")
_LETTER = re.compile(r"(?<![A-Za-z0-9'])([A-J])(?![A-Za-z0-9'])(?!\s(?!or\b|and\b|is\b)[a-z])")
_YES, _NO = frozenset({"yes", "yeah", "yep", "true"}), frozenset({"no", "nope", "false"})
_COPULA = re.compile(r"\b(?:is|are|says|reads|shows|:)\s")


class Outcome(StrEnum):
    """What grading found."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNGRADABLE = "ungradable"


@dataclass(frozen=True, slots=True)
class Grade:
    """An outcome, the answer that was read from the completion, and how it went wrong (None where it did not)."""

    outcome: Outcome
    extracted: str | None
    error_type: ErrorType | None

    @property
    def is_correct(self) -> bool:
        """Whether the answer counts."""
        return self.outcome is Outcome.CORRECT


_UNGRADABLE = Grade(Outcome.UNGRADABLE, None, ErrorType.UNGRADABLE)


def _correct(extracted: str) -> Grade:
    return Grade(Outcome.CORRECT, extracted, None)


def _incorrect(extracted: str, error_type: ErrorType = ErrorType.WRONG_VALUE) -> Grade:
    return Grade(Outcome.INCORRECT, extracted, error_type)


def grade(completion: str, *, question_type: QuestionType, answer: str, choices: Sequence[str] = (), tolerance: float = 0.0) -> Grade:
    """Grades a completion against the reference answer; never raises.

    Args:
        completion: what the model wrote, of any length.
        question_type: which grader decides.
        answer: the letter of the right choice, a number with an optional unit, or a short text.
        choices: the options in order, for multiple choice.
        tolerance: absolute tolerance for numbers, in the reference's unit; 0 allows 1 % where the reference is no whole number.
    """
    segment, is_marked = final_segment(completion)
    if not any(character.isalnum() or character in "<>=+-*/" for character in segment):
        return _UNGRADABLE
    match question_type:
        case QuestionType.MULTIPLE_CHOICE:
            return _grade_choice(segment, answer, choices)
        case QuestionType.NUMERIC:
            return _grade_number(segment, is_marked, answer, tolerance)
        case QuestionType.TEXT:
            return _grade_text(segment, answer)


def check_reference(*, question_type: QuestionType, answer: str, choices: Sequence[str], tolerance: float) -> str | None:
    """What is wrong with a reference answer, in words; None where it can be graded against."""
    if not math.isfinite(tolerance) or tolerance < 0:
        return f"tolerance is {tolerance}; it must be a finite number, at least 0"
    if question_type is QuestionType.MULTIPLE_CHOICE:
        return _check_choices(answer, choices)
    if choices:
        return f"choices are given, but the question type is {question_type.value}"
    if question_type is QuestionType.NUMERIC:
        return None if _reference(answer) else f"answer {answer[:80]!r} is not one number with an optional unit"
    return None if plain(answer) else f"answer {answer[:80]!r} holds no word or number"


def tolerance_share(answer: str, tolerance: float) -> float:
    """How far off a numeric reference still counts, as a share of it; infinite where it is 0 and anything beside it counts."""
    reference = _reference(answer)
    size = abs(reference.value) if reference else 0.0
    return tolerance / size if size else math.inf if tolerance else 0.0


def _check_choices(answer: str, choices: Sequence[str]) -> str | None:
    if not 2 <= len(choices) <= len(LETTERS):
        return f"{len(choices)} choices are given; multiple choice needs 2 to {len(LETTERS)}"
    texts = [plain(choice) or choice.strip() for choice in choices]
    if not all(texts):
        return "a choice is empty"
    if len(set(texts)) < len(texts):
        return "two choices say the same"
    letters = LETTERS[: len(choices)]
    if len(answer) != 1 or answer not in letters:
        return f"answer {answer[:80]!r} is not one of the letters {letters[0]} to {letters[-1]}"
    return None


# Choices


def _grade_choice(segment: str, answer: str, choices: Sequence[str]) -> Grade:
    letter = _read_choice(segment, choices)
    if letter is None:
        return _UNGRADABLE
    return _correct(letter) if letter == answer else _incorrect(letter)


def _read_choice(segment: str, choices: Sequence[str]) -> str | None:
    """The letter of the one choice that a segment states; None where it states none or several."""
    alone = _LONE_LETTER.fullmatch(segment)
    if alone:
        return str(alone[1]).upper()
    texts = [plain(choice) or choice.strip() for choice in choices]
    whole = plain(segment) or segment.strip()
    leading = _LEADING_LETTER.match(segment)
    is_lettered = leading is not None and segment[leading.end() : leading.end() + 1] in (".", ")", "]", ":")
    if whole in texts and not is_lettered:
        return LETTERS[texts.index(whole)]
    if leading:
        return _read_leading(leading[1], segment[leading.end() :], texts)
    named, letters = _named_choices(whole, texts), {str(letter) for letter in _LETTER.findall(segment)}
    if len(letters) == 1 and named <= letters:
        return letters.pop()
    return named.pop() if len(named) == 1 and not letters else None


def _read_leading(letter: str, rest: str, texts: Sequence[str]) -> str | None:
    """The leading letter, unless what follows offers another letter or is another choice's text."""
    stated = plain(rest) or rest.strip(" .:)]")
    if stated in texts:
        return letter if LETTERS[texts.index(stated)] == letter else None
    other = _OTHER_LETTER.match(rest)
    offered = {*_LISTED_LETTER.findall(rest), *([other[1]] if other else [])}
    return letter if offered <= {letter} else None


def _named_choices(whole: str, texts: Sequence[str]) -> set[str]:
    """The letters of choices whose text stands in a longer text, unless negated or part of a longer choice's text."""
    padded, named = f" {whole} ", set()
    for index in sorted(range(len(texts)), key=lambda index: -len(texts[index])):
        padded = padded.replace(f" not {texts[index]} ", " | ")
        if f" {texts[index]} " in padded:
            named.add(LETTERS[index])
            padded = padded.replace(f" {texts[index]} ", " | ")
    return named


# Numbers


def _reference(answer: str) -> Quantity | None:
    """The quantity that a reference states, if it states exactly one."""
    text = digits_for_words(" ".join(tidy(answer).split()))
    found = find_quantities(text)
    if len(found) != 1 or any(character.isdigit() for character in text[: found[0].start] + text[found[0].end :]):
        return None
    return found[0]


def _read_quantity(segment: str, is_marked: bool) -> Quantity | None:
    text = digits_for_words(segment.rpartition("=")[2])
    text = re.sub(r"\b(\d{1,2}):00\b", r"\1", text)
    found = find_quantities(text)
    if len(found) < 2:
        return found[0] if found else None
    between = [text[first.end : second.start].strip(" ,.") for first, second in pairwise(found)]
    if len({(quantity.value, quantity.unit) for quantity in found}) == 1:
        return found[0]
    is_alternative = between[0 if is_marked else -1].lower() in ("or", "to", "-", "~", "/")
    is_bare_list = not any(re.search(r"[A-Za-z]", gap) for gap in between) and not re.search(r"[A-Za-z]", text[: found[0].start])
    if is_alternative or is_bare_list:
        return None
    return found[0 if is_marked else -1]


def _close(value: float, reference: float, tolerance: float) -> bool:
    allowed = tolerance if tolerance > 0 or reference.is_integer() else RELATIVE_TOLERANCE * abs(reference)
    return abs(value - reference) <= allowed + 1e-13 * max(1.0, abs(reference))


def _grade_number(segment: str, is_marked: bool, answer: str, tolerance: float) -> Grade:
    reference, given = _reference(answer), _read_quantity(segment, is_marked)
    if reference is None or given is None:
        return _UNGRADABLE
    value, extracted = given.value, f"{given.value:.12g}{'%' if given.is_percent else ''}"
    if reference.unit and given.unit:
        if given.unit.dimension != reference.unit.dimension:
            is_same_number = _close(value, reference.value, tolerance)
            return _incorrect(extracted, ErrorType.WRONG_UNIT if is_same_number else ErrorType.WRONG_VALUE)
        value = value * given.unit.factor / reference.unit.factor
    readings = [value]
    if given.is_percent != reference.is_percent:
        readings.append(value / 100 if given.is_percent else value * 100)
    if any(_close(reading, reference.value, tolerance) for reading in readings):
        return _correct(extracted)
    if reference.unit and given.unit and given.unit != reference.unit and _close(given.value, reference.value, tolerance):
        return _incorrect(extracted, ErrorType.WRONG_UNIT)
    is_near = any(abs(reading - reference.value) <= NEAR_MISS_SHARE * abs(reference.value) for reading in readings)
    return _incorrect(extracted, ErrorType.NEAR_MISS if is_near else ErrorType.WRONG_VALUE)


# Short texts


def _grade_text(segment: str, answer: str) -> Grade:
    wanted, said = plain(answer), plain(segment)
    if not wanted or not said or len(said.split()) > _MAX_TEXT_WORDS:
        return _UNGRADABLE
    if wanted in ("yes", "no"):
        return _grade_yes_no(said.split(), wanted)
    readings = [said]
    copulas = list(_COPULA.finditer(segment))
    if copulas:
        readings.append(plain(segment[copulas[-1].end() :]))
    for reading in readings:
        if reading.replace(" ", "") == wanted.replace(" ", "") or _same_number(reading, wanted):
            return _correct(wanted)
    return _incorrect(said[:_MAX_EXTRACTED_CHARS], ErrorType.NEAR_MISS if _one_edit_apart(said, wanted) else ErrorType.WRONG_VALUE)


def _grade_yes_no(words: Sequence[str], wanted: str) -> Grade:
    """Reads the first word, else the last; "there is no tree" says neither."""
    if not _YES.isdisjoint(words) and not _NO.isdisjoint(words) and {"or", "and"} & set(words[:3]):
        return _UNGRADABLE
    for word in (words[0], words[-1]):
        if word in _YES or word in _NO:
            said = "yes" if word in _YES else "no"
            return _correct(said) if said == wanted else _incorrect(said)
    return _UNGRADABLE


def _same_number(said: str, wanted: str) -> bool:
    """Whether two texts that are nothing but a number mean the same one."""
    values = []
    for text in (digits_for_words(said), digits_for_words(wanted)):
        found = find_quantities(text)
        if len(found) != 1 or (found[0].start, found[0].end) != (0, len(text)):
            return False
        values.append(found[0].value)
    return values[0] == values[1]


def _one_edit_apart(said: str, wanted: str) -> bool:
    """Whether one inserted, removed or replaced character makes the texts equal; only for four characters or more."""
    if len(wanted) < 4 or abs(len(said) - len(wanted)) > 1:
        return False
    short, long = sorted((said, wanted), key=len)
    same = next((index for index, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return short[same + (len(short) == len(long)) :] == long[same + 1 :]
