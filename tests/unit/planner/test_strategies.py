"""The strategies against each other, on worlds with planted skills."""

from dataclasses import replace

import numpy as np

from shared.domain import Strategy
from shared.run_spec import PlanningSpec
from tests.unit.planner.simulator import BUDGET, macro, oracle, planted_world, simulate, strategy

SPEC = PlanningSpec(num_samples=BUDGET, max_candidates=3 * BUDGET)
COMPARED = (Strategy.LEARNABILITY, Strategy.DPE_STEPS, Strategy.ERROR, Strategy.UNIFORM)


def test_learnability_regrets_less_than_uniform_and_the_published_steps() -> None:
    regrets: dict[Strategy, list[float]] = {compared: [] for compared in COMPARED}
    gains = []
    for seed in range(24):
        world = planted_world(np.random.default_rng(seed))
        best = oracle(world, SPEC)
        gains.append(best - macro(world))
        for compared in COMPARED:
            reached = simulate(world, strategy(replace(SPEC, strategy=compared)), np.random.default_rng(1000 + seed), SPEC)
            regrets[compared].append(best - reached)
    print(f"\nmacro accuracy that the oracle gains: {np.mean(gains):.4f}")
    for compared in COMPARED:
        difference = np.subtract(regrets[compared], regrets[Strategy.UNIFORM])
        print(
            f"{compared.value:12s} regret {np.mean(regrets[compared]):.4f}, "
            f"against uniform {difference.mean():+.4f} ± {1.96 * difference.std(ddof=1) / len(difference) ** 0.5:.4f}"
        )
    assert np.mean(regrets[Strategy.LEARNABILITY]) <= np.mean(regrets[Strategy.UNIFORM])
    assert np.mean(regrets[Strategy.LEARNABILITY]) <= np.mean(regrets[Strategy.DPE_STEPS])
