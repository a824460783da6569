"""Samples for tests: real drawn questions, with as little ceremony as possible."""

from collections.abc import Sequence
from random import Random

from services.generators.rendered.candidates import CELLS, make_candidates
from shared.domain import Cell, Recipe
from shared.tables import Sample


def draw_samples(num: int, *, seed: int, recipe: Recipe = Recipe.TEACH, cells: Sequence[Cell] = CELLS, iteration: int = 1) -> list[Sample]:
    """`num` samples spread over some cells, in random order."""
    per_cell = -(-num // len(cells))
    samples = [
        Sample(
            sample_id=candidate.candidate_id,
            cell=candidate.cell,
            image=candidate.image,
            question=candidate.question,
            choices=candidate.choices,
            answer=candidate.answer,
            tolerance=candidate.tolerance,
            recipe=recipe,
            pass_rate=None,
            iteration=iteration,
            lease_id=f"lease-{seed}",
            scene=candidate.scene,
            provenance=candidate.provenance,
        )
        for cell in cells
        for candidate in make_candidates(cell, per_cell, seed, 0.2, 64)
    ]
    Random(seed).shuffle(samples)
    return samples[:num]
