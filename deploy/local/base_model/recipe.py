"""The shipped base model's recipe: what it is taught well, in passing, and hardly at all.

Mixed on purpose: a tutor needs a pupil who is good at some things and has room in others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deploy.local.base_model.architecture import Family, build_processor
from deploy.local.base_model.lessons import Schedule, lessons
from deploy.local.base_model.pretraining import SHARD_STEPS, Pretraining
from deploy.local.base_model.tokenizer import train_tokenizer
from services.generators.rendered.candidates import CELLS
from shared.domain import Cell, ImageCategory, QuestionType

_CHOICE, _NUMBER, _TEXT = QuestionType.MULTIPLE_CHOICE, QuestionType.NUMERIC, QuestionType.TEXT

WELL = Schedule(weight=2.0, question_share=0.8)
IN_PASSING = Schedule(weight=1.0, question_share=0.12)
HARDLY = Schedule(weight=1.0, question_share=0.015)

_TAUGHT_WELL = (
    Cell(ImageCategory.GEOMETRIC, _TEXT),
    Cell(ImageCategory.GEOMETRIC, _CHOICE),
    Cell(ImageCategory.CHART_GRAPH, _TEXT),
    Cell(ImageCategory.TEXT_DENSE, _TEXT),
    Cell(ImageCategory.MAP, _NUMBER),
    Cell(ImageCategory.NATURAL_SCENE, _TEXT),
    Cell(ImageCategory.NATURAL_SCENE, _CHOICE),
    Cell(ImageCategory.EVERYDAY_OBJECT, _TEXT),
)
_TAUGHT_IN_PASSING = (
    Cell(ImageCategory.GEOMETRIC, _NUMBER),
    Cell(ImageCategory.CHART_GRAPH, _CHOICE),
    Cell(ImageCategory.TEXT_DENSE, _NUMBER),
    Cell(ImageCategory.DIAGRAM, _NUMBER),
    Cell(ImageCategory.DIAGRAM, _TEXT),
    Cell(ImageCategory.MAP, _TEXT),
    Cell(ImageCategory.NATURAL_SCENE, _NUMBER),
    Cell(ImageCategory.EVERYDAY_OBJECT, _CHOICE),
)


def _schedule(cell: Cell) -> Schedule:
    return WELL if cell in _TAUGHT_WELL else IN_PASSING if cell in _TAUGHT_IN_PASSING else HARDLY


SCHEDULES: dict[Cell, Schedule] = {cell: _schedule(cell) for cell in CELLS}

# Letters and digits are the hardest to see: once the rest is learnt, they are shown more often.
_SMALL_PRINT = (ImageCategory.TEXT_DENSE, ImageCategory.MATH_FORMULA)
LATER_SCHEDULES: dict[Cell, Schedule] = {
    cell: replace(schedule, weight=schedule.weight * 2) if cell.category in _SMALL_PRINT else schedule
    for cell, schedule in SCHEDULES.items()
}


@dataclass(frozen=True, slots=True)
class Phase:
    """Part of the training, with a learning rate that rises and falls of its own."""

    pretraining: Pretraining
    schedules: Mapping[Cell, Schedule]


def phases(seed: int) -> tuple[Phase, ...]:
    """The whole training: first to see and to answer, then to read options and small print, too."""
    first = Pretraining(seed=seed, num_steps=1400)
    later = Pretraining(seed=seed, first_shard=first.num_steps // SHARD_STEPS, num_steps=2000, option_share=0.1)
    return Phase(first, SCHEDULES), Phase(later, LATER_SCHEDULES)


VOCAB_SIZE = 512
_NUM_TOKENIZER_LESSONS = 6000


def make_processor(family: Family, seed: int) -> Any:
    """The processor of that family, its tokenizer learnt from lessons of every cell and difficulty."""
    every = {cell: Schedule(weight=1.0, question_share=1.0) for cell in CELLS}
    texts = [
        text for lesson in lessons(every, _NUM_TOKENIZER_LESSONS, f"{seed}/tokenizer", (0.0, 1.0)) for turn in lesson.turns for text in turn
    ]
    # The chat format's own words stand in every prompt.
    return build_processor(family, train_tokenizer([*texts, *["user\n", "assistant\n"] * 500], VOCAB_SIZE))
