"""Which samples a training sees, in which stage and order: pure, seeded, independent of any library's state."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from random import Random

from shared.domain import Cell, Recipe
from shared.errors import Rejected
from shared.tables import Sample


@dataclass(frozen=True, slots=True)
class Stage:
    """One trainer's work: supervised for TEACH, GRPO for REINFORCE."""

    recipe: Recipe
    samples: tuple[Sample, ...]


def draw_replay(
    new: Sequence[Sample], earlier: Sequence[Sample], *, replay_share: float, seed: int, held_back: Collection[str] = ()
) -> tuple[Sample, ...]:
    """Earlier samples to mix in, so that they make up `replay_share` of the training set, as far as there are enough.

    Cells take turns, so that a small cell is remembered as well as a large one; a sample that is new, or was drawn already, is not
    drawn again.

    Args:
        new: this iteration's samples.
        earlier: those of the iterations before, oldest first.
        replay_share: in [0, 1).
        seed: the same seed draws the same samples.
        held_back: cells of which nothing is drawn, CATEGORY/QUESTION_TYPE: people found too many of their labels wrong.
    """
    wanted = round(len(new) * replay_share / (1 - replay_share))
    seen = {sample.sample_id for sample in new}
    by_cell: defaultdict[Cell, list[Sample]] = defaultdict(list)
    for sample in earlier:
        if sample.sample_id not in seen and str(sample.cell) not in held_back:
            seen.add(sample.sample_id)
            by_cell[sample.cell].append(sample)
    random = Random(f"{seed}/replay")
    queues = []
    for cell in sorted(by_cell):
        random.shuffle(by_cell[cell])
        queues.append(by_cell[cell])
    turns = (sample for turn in zip_longest(*queues) for sample in turn if sample is not None)
    return tuple(sample for sample, _ in zip(turns, range(wanted), strict=False))


def plan_stages(recipe: str, new: Sequence[Sample], replayed: Sequence[Sample]) -> tuple[Stage, ...]:
    """The stages of a recipe, in order; one without samples is left out.

    `sft` and `grpo` put everything through one trainer. `by_cell` first supervises, then reinforces the samples that are marked so:
    see README.md for what the supervised stage holds and why.

    Raises:
        Rejected: there is no sample at all, or no such recipe.
    """
    if not new:
        raise Rejected("the dataset holds no sample: there is nothing to train on")
    if recipe == "sft":
        stages = [Stage(Recipe.TEACH, (*new, *replayed))]
    elif recipe == "grpo":
        stages = [Stage(Recipe.REINFORCE, (*new, *replayed))]
    elif recipe == "by_cell":
        reinforced = tuple(sample for sample in new if sample.recipe is Recipe.REINFORCE)
        stages = [Stage(Recipe.TEACH, (*new, *replayed)), Stage(Recipe.REINFORCE, reinforced)]
    else:
        raise Rejected(f"training.recipe is {recipe!r}, which this trainer does not know")
    return tuple(stage for stage in stages if stage.samples)


def training_order(num_samples: int, num_draws: int, *, seed: int) -> list[int]:
    """Indices of samples in training order: whole passes, each shuffled anew, cut off after `num_draws`.

    The order is a value, not a sampler's state, so a resumed training continues exactly where it stopped.
    """
    random = Random(f"{seed}/order")
    num_passes = -(-num_draws // num_samples)
    passes = (random.sample(range(num_samples), num_samples) for _ in range(num_passes))
    return list(chain.from_iterable(passes))[:num_draws]
