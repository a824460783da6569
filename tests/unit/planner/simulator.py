"""Worlds with planted skills, in which planners can be compared with the best that could have been done.

A cell's skill rises from practice towards a ceiling with diminishing returns, and fades without. Taught samples work wherever there is
room; reinforced ones only as far as rollouts differ. Some cells have no room at all: the model cannot learn them from such samples, and no
figure of the first diagnosis says so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.attributor.diagnosis import diagnose
from services.planner.mixture import plan_mixture, recipe_of
from services.planner.yields import CellOutcome
from shared.domain import Cell, CellDiagnosis, Recipe
from shared.run_spec import PlanningSpec
from tests.unit.attributor.planted import planted_answers
from tests.unit.planner.planted import CELLS

NUM_ITERATIONS = 3
NUM_PROBES = 40
BUDGET = 1200


@dataclass(frozen=True)
class Skill:
    """A cell's true state: pass rate, the highest it can reach, samples that halve the way there, share lost without practice."""

    rate: float
    ceiling: float
    half_samples: float
    fading: float

    def practised(self, num_samples: float, recipe: Recipe) -> "Skill":
        """The state after an iteration with so many samples."""
        worth = num_samples if recipe is Recipe.TEACH else num_samples * 4 * self.rate * (1 - self.rate)
        learnt = self.rate + (self.ceiling - self.rate) * (1 - 2 ** (-worth / self.half_samples))
        forgotten = self.fading * learnt * math.exp(-num_samples / 20)
        return replace(self, rate=min(0.98, max(0.02, learnt - forgotten)))


World = dict[Cell, Skill]
Plan = Callable[[Sequence[CellDiagnosis], Mapping[Cell, float], Sequence[CellOutcome]], dict[Cell, int]]


def planted_world(rng: np.random.Generator, num_cells: int = 12) -> World:
    """A mixed model: strong, middling and weak cells, a third of them without much room."""
    world = {}
    for cell in CELLS[:num_cells]:
        rate = float(rng.uniform(0.1, 0.95))
        room = float(rng.uniform(0.0, 0.1) if rng.random() < 1 / 3 else rng.uniform(0.4, 1.0))
        world[cell] = Skill(
            rate, rate + (0.98 - rate) * room, float(np.exp(rng.uniform(np.log(40), np.log(400)))), float(rng.uniform(0, 0.1))
        )
    return world


def macro(world: World) -> float:
    """True macro accuracy."""
    return sum(skill.rate for skill in world.values()) / len(world)


def simulate(world: World, plan: Plan, rng: np.random.Generator, spec: PlanningSpec) -> float:
    """Macro accuracy after all iterations; the planner sees diagnoses and measured gains, never the skills."""
    diagnosis = diagnose(planted_answers(rng, {cell: skill.rate for cell, skill in world.items()}, num_probes=NUM_PROBES))
    previous: dict[Cell, float] = {}
    history: list[CellOutcome] = []
    for iteration in range(1, NUM_ITERATIONS + 1):
        quotas = plan(diagnosis, previous, history)
        recipes = {cell.cell: recipe_of(cell, spec) for cell in diagnosis}
        after = {cell: skill.practised(quotas[cell], recipes[cell]) for cell, skill in world.items()}
        error = (2 * 0.2 / NUM_PROBES) ** 0.5
        history += [
            CellOutcome(
                iteration, cell, quotas[cell], quotas[cell], after[cell].rate - world[cell].rate + float(rng.normal(0, error)), error
            )
            for cell in world
        ]
        previous = {cell: quota / BUDGET for cell, quota in quotas.items()}
        world = after
        diagnosis = diagnose(planted_answers(rng, {cell: skill.rate for cell, skill in world.items()}, num_probes=NUM_PROBES))
    return macro(world)


def strategy(spec: PlanningSpec) -> Plan:
    """A planner of ours."""

    def plan(diagnosis: Sequence[CellDiagnosis], previous: Mapping[Cell, float], history: Sequence[CellOutcome]) -> dict[Cell, int]:
        quotas = plan_mixture(diagnosis, spec, previous_weights=previous, history=history)
        return {quota.cell: quota.num_samples for quota in quotas}

    return plan


def oracle(world: World, spec: PlanningSpec, chunk: int = 20) -> float:
    """Macro accuracy of a planner that knows every skill and gives each portion to the cell that gains most from it."""
    for _ in range(NUM_ITERATIONS):
        given = dict.fromkeys(world, 0)
        recipes = {
            cell: Recipe.REINFORCE if spec.reinforce_low <= s.rate <= spec.reinforce_high else Recipe.TEACH for cell, s in world.items()
        }

        def gain(cell: Cell, given: dict[Cell, int] = given, now: World = world, how: dict[Cell, Recipe] = recipes) -> float:
            more, less = (now[cell].practised(given[cell] + extra, how[cell]).rate for extra in (chunk, 0))
            return more - less

        for _ in range(BUDGET // chunk):
            given[max(given, key=gain)] += chunk
        world = {cell: skill.practised(given[cell], recipes[cell]) for cell, skill in world.items()}
    return macro(world)
