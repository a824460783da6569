"""Answers with a planted truth: what a model with known skills would have said."""

from collections.abc import Mapping

import numpy as np

from shared.domain import Cell, ErrorType, ImageCategory, QuestionType
from shared.tables import AnswerRow

CELLS = tuple(Cell(category, question_type) for category in ImageCategory for question_type in QuestionType)


def answer(probe_id: str, cell: Cell, index: int, outcome: str, *, split: str = "core", error: ErrorType | None = None) -> AnswerRow:
    """One graded answer; index 0 is the greedy one."""
    return AnswerRow(probe_id, split, cell, index, index == 0, "", None, "", outcome, error)


def planted_answers(
    rng: np.random.Generator, rates: Mapping[Cell, float], *, num_probes: int = 24, num_samples: int = 4, rho: float = 0.4
) -> list[AnswerRow]:
    """Answers of a model that solves each cell at its rate, with correlation `rho` among the answers to one probe."""
    rows = []
    for cell, rate in rates.items():
        for i in range(num_probes):
            skill = rate if rho == 0 else rng.beta(rate * (1 / rho - 1), (1 - rate) * (1 / rho - 1))
            for j in range(num_samples + 1):
                rows.append(answer(f"{cell}-{i}", cell, j, "correct" if rng.random() < skill else "incorrect"))
    return rows


def planted_pair(
    rng: np.random.Generator, rates: Mapping[Cell, tuple[float, float]], num_probes: Mapping[Cell, int]
) -> tuple[list[AnswerRow], list[AnswerRow]]:
    """Greedy answers of two models to the same probes, independent given the rates (before, after)."""
    before, after = [], []
    for cell, (old, new) in rates.items():
        for i in range(num_probes[cell]):
            before.append(answer(f"{cell}-{i}", cell, 0, "correct" if rng.random() < old else "incorrect"))
            after.append(answer(f"{cell}-{i}", cell, 0, "correct" if rng.random() < new else "incorrect"))
    return before, after
