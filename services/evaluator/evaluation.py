"""What an evaluation asks, and what its answers say. Pure."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.evaluator.policy_model import Completions
from shared.answers import Grade, Outcome, grade
from shared.domain import ErrorType, Question
from shared.errors import Rejected
from shared.tables import AnswerRow, Probe

CORE = "core"
EXAM = "exam"
FAILED = "failed"

Grader = Callable[[str], Grade]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an evaluation that is asked, and remembered, as a whole. `key` names it within the evaluation."""

    key: str
    probes: tuple[Probe, ...]
    is_exam: bool


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What a question's sampled answers say. `majority_answer` is "" where no answer was gradable."""

    num_rollouts: int
    num_correct: int
    num_ungradable: int
    majority_answer: str
    majority_share: float


def chosen_probes(probes: Sequence[Probe], iteration: int, source: str) -> list[Probe]:
    """The probes that evaluation `iteration` asks: the core, and the fresh ones made for it.

    Raises:
        Rejected: there is none, a probe id stands twice, or an exam item stands among the probes.
    """
    seen: set[str] = set()
    for probe in probes:
        if probe.probe_id in seen:
            raise Rejected(f"{source}: probe_id {probe.probe_id!r} stands twice; give each probe its own")
        if probe.split == EXAM:
            raise Rejected(f"{source}: probe {probe.probe_id!r} is of the exam, which no decision may see: put it into the exam file")
        seen.add(probe.probe_id)
    chosen = [probe for probe in probes if probe.split in (CORE, f"fresh-{iteration}")]
    if not chosen:
        splits = sorted({probe.split for probe in probes})
        raise Rejected(f"{source} has no probe for evaluation {iteration}: its splits are {splits}, and core or fresh-{iteration} is asked")
    return chosen


def exam_probes(probes: Sequence[Probe], source: str) -> list[Probe]:
    """The exam's items.

    Raises:
        Rejected: there is none, or one of another split.
    """
    others = sorted({probe.split for probe in probes} - {EXAM})
    if others:
        raise Rejected(f"{source} holds probes of {others}; an exam holds the split {EXAM!r} alone")
    if not probes:
        raise Rejected(f"{source} holds no exam item; a run needs at least one")
    return list(probes)


def chunks(probes: Sequence[Probe], size: int, *, is_exam: bool) -> Iterator[Chunk]:
    """Probes in order, `size` at a time; the same probes give the same chunks, so that a resumed evaluation asks the same."""
    for ordinal, start in enumerate(range(0, len(probes), size)):
        part = tuple(probes[start : start + size])
        digest = hashlib.sha256("\n".join(probe.probe_id for probe in part).encode()).hexdigest()[:12]
        yield Chunk(f"{'exam' if is_exam else 'probes'}-{ordinal:05d}-{digest}", part, is_exam)


def chunk_seed(seed: int, iteration: int, key: str) -> int:
    """The seed of a chunk's sampled answers: the same in every attempt, another for every chunk, iteration and run."""
    return int.from_bytes(hashlib.sha256(f"{seed}/evaluation/{iteration}/{key}".encode()).digest()[:8], "big")


def answer_rows(probe: Probe, greedy: Completions, sampled: Completions) -> list[AnswerRow]:
    """A probe's graded answers: the greedy one first, then the sampled ones.

    A probe that could not be asked has one row of outcome "failed", which is neither right nor wrong. A wrong greedy answer beside a
    right sampled one is of the error type UNSTABLE: the skill is there, but unreliable.
    """
    failure = greedy.failure or sampled.failure
    if failure:
        return [_row(probe, 0, "", None, FAILED, None)]
    rows = []
    for index, (completion, is_greedy) in enumerate([*((text, True) for text in greedy.texts), *((text, False) for text in sampled.texts)]):
        graded = grade_probe(probe, completion)
        row = _row(probe, index, completion, graded.extracted, graded.outcome.value, graded.error_type)
        rows.append(replace(row, is_greedy=is_greedy))
    is_latent = any(row.outcome == Outcome.CORRECT for row in rows[1:])
    if is_latent and rows[0].outcome == Outcome.INCORRECT:
        rows[0] = replace(rows[0], error_type=ErrorType.UNSTABLE)
    return rows


def grade_probe(probe: Probe, completion: str) -> Grade:
    """A completion's grade against a probe's reference."""
    return grade(completion, question_type=probe.cell.question_type, answer=probe.answer, choices=probe.choices, tolerance=probe.tolerance)


def _row(probe: Probe, index: int, completion: str, extracted: str | None, outcome: str, error_type: ErrorType | None) -> AnswerRow:
    return AnswerRow(
        probe_id=probe.probe_id,
        split=probe.split,
        cell=probe.cell,
        sample_index=index,
        is_greedy=index == 0,
        completion=completion,
        extracted=extracted,
        reference=probe.answer,
        outcome=outcome,
        error_type=error_type,
    )


def count_rollouts(question: Question, completions: Sequence[str]) -> Rollouts:
    """How a question's sampled answers came out; among equally frequent answers the one seen first is the majority's."""
    grades = [
        grade(
            completion,
            question_type=question.question_type,
            answer=question.answer,
            choices=question.choices,
            tolerance=question.tolerance,
        )
        for completion in completions
    ]
    answers = [graded.extracted for graded in grades if graded.extracted is not None]
    majority = max(answers, key=answers.count) if answers else ""
    return Rollouts(
        num_rollouts=len(grades),
        num_correct=sum(graded.is_correct for graded in grades),
        num_ungradable=sum(graded.outcome is Outcome.UNGRADABLE for graded in grades),
        majority_answer=majority,
        majority_share=answers.count(majority) / len(grades) if answers else 0.0,
    )
