"""Rewards in TRL's signature: completions and dataset columns in as lists, a number for each completion out.

Diagnosis, pass rates and rewards ask the same grader, so a reward can't rise while the answers that count don't.
"""

from collections.abc import Callable, Sequence
from typing import Any

from shared.answers import Outcome, grade
from shared.domain import QuestionType

REWARDS = {Outcome.CORRECT: 1.0, Outcome.INCORRECT: 0.1, Outcome.UNGRADABLE: 0.0}
"""A wrong answer of the asked kind is worth a little: where no completion of a prompt is right, it still teaches the form."""


def typed_reward(
    completions: Sequence[Sequence[dict[str, str]]],
    answer: Sequence[str],
    question_type: Sequence[str],
    choices: Sequence[Sequence[str]],
    tolerance: Sequence[float],
    log_metric: Callable[[str, float], None] | None = None,
    **_: Any,
) -> list[float]:
    """A reward in [0, 1] for each completion; logs the true accuracy, which knows no such shaping, beside it.

    Args:
        completions: conversational completions; the last message counts.
        answer: the reference answers.
        question_type: values of `QuestionType`.
        choices: the options of each question, in order.
        tolerance: the absolute tolerances for numbers.
        log_metric: TRL's logger of scalars.
    """
    outcomes = [
        grade(
            completion[-1]["content"], question_type=QuestionType(kind), answer=reference, choices=tuple(options), tolerance=allowed
        ).outcome
        for completion, reference, kind, options, allowed in zip(completions, answer, question_type, choices, tolerance, strict=True)
    ]
    if log_metric is not None:
        log_metric("accuracy", sum(outcome is Outcome.CORRECT for outcome in outcomes) / len(outcomes))
    return [REWARDS[outcome] for outcome in outcomes]
