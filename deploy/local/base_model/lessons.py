"""What the base model learns from: drawn scenes, each with a question, a description, or both, and exercises in reading options.

Descriptions ("red circle left, blue star right") teach the eye for every category; questions teach how to answer. Questions come by a
skewed schedule on purpose: some cells get many, some a few, some nearly none, so that the base is good at some and has room in others.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from deploy.local.base_model.architecture import IMAGE_SIZE_PX, NUM_IMAGE_TOKENS
from services.generators.rendered.candidates import CELLS, describe, make_scene
from services.generators.rendered.drawing import draw_png
from services.generators.rendered.scenes import Scene
from shared.domain import Cell, QuestionType
from shared.prompt import LETTERS, conversation, render_question

DESCRIBE = "Describe the image."
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Lesson:
    """A 64×64 RGB image and what is said about it, as (asked, answered) turns."""

    pixels: Any
    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a cell's scenes are drawn (relative), and which share of them comes with its question."""

    weight: float
    question_share: float


def draw_lesson(cell: Cell, schedule: Schedule, rng: Random, difficulties: tuple[float, float]) -> Lesson:
    """One lesson of a cell; `rng` decides everything."""
    scene = make_scene(cell, rng, rng.uniform(*difficulties))
    pixels = np.asarray(Image.open(io.BytesIO(draw_png(scene.marks, IMAGE_SIZE_PX))))
    description = (DESCRIBE, describe(scene))
    if rng.random() >= schedule.question_share:
        return Lesson(pixels, (description,))
    question = (question_text(scene), scene.answer)
    return Lesson(pixels, (question, description))


def draw_option_lesson(rng: Random, difficulties: tuple[float, float]) -> Lesson:
    """An exercise in finding an option by its letter or its words, on an image that does not matter.

    A model this small does not find out by itself that "B" stands for the words behind it: it has to be shown.
    """
    cell = rng.choice([cell for cell in CELLS if cell.question_type is QuestionType.MULTIPLE_CHOICE])
    scene = make_scene(cell, rng, rng.uniform(*difficulties))
    pixels = np.asarray(Image.open(io.BytesIO(draw_png(scene.marks, IMAGE_SIZE_PX))))
    index = rng.randrange(len(scene.choices))
    letter, words = LETTERS[index], scene.choices[index]
    by_words = (render_question(f"Which option is {words}?", QuestionType.MULTIPLE_CHOICE, scene.choices), letter)
    by_letter = (f"What is option {letter}?", words)
    return Lesson(pixels, (by_words, by_letter))


def question_text(scene: Scene) -> str:
    """A scene's question as every room renders it."""
    return render_question(scene.question, scene.cell.question_type, scene.choices)


def lessons(
    schedules: Mapping[Cell, Schedule], num: int, seed: str, difficulties: tuple[float, float], option_share: float = 0.0
) -> Iterator[Lesson]:
    """`num` lessons by the schedule, a share of them exercises with options; the same seed gives the same lessons."""
    rng = Random(seed)
    cells = sorted(schedules)
    weights = [schedules[cell].weight for cell in cells]
    for cell in rng.choices(cells, weights, k=num):
        if option_share and rng.random() < option_share:
            yield draw_option_lesson(rng, difficulties)
        else:
            yield draw_lesson(cell, schedules[cell], rng, difficulties)


class Encoder:
    """Turns lessons into token ids, targets and target weights, in the chat format of the checkpoint's own template."""

    def __init__(self, processor: Any, question_weight: float) -> None:
        self._tokenizer = processor.tokenizer
        self._question_weight = question_weight
        self._image_id = processor.image_token_id
        asked = processor.apply_chat_template(conversation("\0"), add_generation_prompt=True, tokenize=False)
        head, tail = asked.split("\0")
        self._head = self._ids(head.replace(processor.image_token, processor.image_token * NUM_IMAGE_TOKENS))
        self._next_head = self._ids(head.split("<|vision_start|>")[0])
        self._tail = self._ids(tail)
        self._end = self._ids("<|im_end|>")
        self._newline = self._ids("\n")

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def encode(self, turns: Sequence[tuple[str, str]]) -> tuple[list[int], list[int], list[float]]:
        """Token ids of a whole conversation, targets shifted by nothing (ignored: -100), and each target's weight."""
        ids: list[int] = []
        targets: list[int] = []
        weights: list[float] = []
        for index, (asked, answered) in enumerate(turns):
            prompt = (self._next_head if index else self._head) + self._ids(asked) + self._tail
            answer = self._ids(answered) + self._end
            weight = 1.0 if asked == DESCRIBE else self._question_weight
            ids += prompt + answer + self._newline
            targets += [_IGNORED] * len(prompt) + answer + [_IGNORED]
            weights += [0.0] * len(prompt) + [weight] * len(answer) + [0.0]
        return ids, targets, weights
