"""How good a checkpoint is at each cell, on items drawn for the purpose and asked as the evaluator asks."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.evaluator.policy_model import Decoding, Prompt, greedy
from services.evaluator.transformers_model import TransformersModel
from services.generators.rendered.candidates import CELLS, make_candidates
from shared.answers import grade
from shared.domain import Candidate, Cell
from shared.prompt import render_question

DIFFICULTY = 0.5
_MAX_NEW_TOKENS = 12
_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class CellScore:
    """Shares of a cell's items: answered rightly by greedy decoding, by a sample, and by at least one of the samples.

    `guess` is what a guesser without eyes gets who knows the options and how often each answer is right.
    """

    cell: Cell
    num_items: int
    greedy: float
    sampled: float
    reached: float
    guess: float


def measure(checkpoint: Path, *, num_items: int, num_samples: int, seed: int, num_threads: int) -> list[CellScore]:
    """Every cell's score, by greedy decoding and by sampling at temperature 1; the same arguments ask the same items."""
    return asyncio.run(_measure(checkpoint, num_items, num_samples, seed, num_threads))


async def _measure(checkpoint: Path, num_items: int, num_samples: int, seed: int, num_threads: int) -> list[CellScore]:
    scores = []
    async with TransformersModel(dtype="float32", device="cpu", num_threads=num_threads, max_loaded=1, max_image_pixels=1 << 20) as policy:
        for cell in CELLS:
            items = make_candidates(cell, num_items, seed, DIFFICULTY, 64)
            prompts = [Prompt(item.image, render_question(item.question, cell.question_type, item.choices)) for item in items]
            firsts = await policy.generate(checkpoint, prompts, greedy(_MAX_NEW_TOKENS), batch_size=_BATCH_SIZE)
            sampling = Decoding(num_samples, 1.0, _MAX_NEW_TOKENS, seed)
            samples = await policy.generate(checkpoint, prompts, sampling, batch_size=_BATCH_SIZE)
            first = [_is_right(item, completions.texts[0]) for item, completions in zip(items, firsts, strict=True)]
            drawn = [[_is_right(item, text) for text in completions.texts] for item, completions in zip(items, samples, strict=True)]
            scores.append(
                CellScore(
                    cell,
                    len(items),
                    greedy=sum(first) / len(items),
                    sampled=sum(map(sum, drawn)) / (len(items) * num_samples),
                    reached=sum(map(any, drawn)) / len(items),
                    guess=blind_guess(items),
                )
            )
    return scores


def _is_right(item: Candidate, completion: str) -> bool:
    return grade(
        completion, question_type=item.cell.question_type, answer=item.answer, choices=item.choices, tolerance=item.tolerance
    ).is_correct


def blind_guess(items: Sequence[Candidate]) -> float:
    """The share that guessing gets: one option of those given, or the most frequent answer."""
    if items[0].choices:
        return sum(1 / len(item.choices) for item in items) / len(items)
    return max(Counter(item.answer for item in items).values()) / len(items)


def is_mixed(scores: list[CellScore]) -> bool:
    """Whether a base model is fit for the main job: good at some cells, middling at others, and at a loss at one at least.

    At a loss is within two standard errors of guessing.
    """
    shares = [score.greedy for score in scores]
    is_good = sum(share > 0.8 for share in shares) >= 2
    is_middling = sum(0.2 <= share <= 0.6 for share in shares) >= 3
    is_at_a_loss = any(score.greedy < score.guess + 2 * math.sqrt(score.guess * (1 - score.guess) / score.num_items) for score in scores)
    return is_good and is_middling and is_at_a_loss


def table(scores: list[CellScore]) -> str:
    """The scores as a Markdown table, weakest cells last."""
    rows = [
        f"| {score.cell} | {score.greedy:.2f} | {score.sampled:.2f} | {score.reached:.2f} | {score.guess:.2f} |"
        for score in sorted(scores, key=lambda score: -score.greedy)
    ]
    macro = sum(score.greedy for score in scores) / len(scores)
    return "\n".join(
        [
            "| cell | greedy | sampled | at least one sample | guessing |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            f"| **macro** | **{macro:.3f}** | | | |",
        ]
    )
