"""How long the pure parts of attributor and planner take: `python -m tests.bench.bench_planning`.

Figures are the median of several timings, in microseconds, over all 36 cells.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np

from services.attributor.comparison import compare
from services.attributor.diagnosis import diagnose
from services.planner.codec import from_json, to_json
from services.planner.consequences import consequences
from services.planner.ledger import OPENING, CellLedger, PlanLedger
from services.planner.mixture import plan_mixture
from services.planner.plan_steps import Reviewed, apply_review, open_plan
from services.planner.promotion import decide_promotion
from services.planner.routing import Offer
from shared.domain import Recipe, Strategy
from shared.events import GenerationRequested
from shared.ports import Cause
from shared.run_spec import PlanningSpec
from tests.unit.attributor.planted import CELLS, planted_answers, planted_pair
from tests.unit.planner.planted import BASE


def microseconds(work: Callable[[], object], repeats: int = 9) -> float:
    """Median time of a call."""
    timings = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        timings.append(time.perf_counter() - started)
    return 1e6 * median(timings)


def main() -> None:
    """Prints one line a part."""
    rng = np.random.default_rng(0)
    rates = {cell: 0.1 + 0.8 * i / len(CELLS) for i, cell in enumerate(CELLS)}
    answers = planted_answers(rng, rates, num_probes=40)
    pair = planted_pair(rng, {cell: (rate, min(0.95, rate + 0.1)) for cell, rate in rates.items()}, dict.fromkeys(CELLS, 40))
    diagnosis, comparison = diagnose(answers), compare(*pair, baseline_model_id="run/0")
    spec = PlanningSpec()

    plan = PlanLedger(
        run_id="run",
        iteration=1,
        seed=7,
        base_model=BASE,
        replay_share=0.2,
        lease_size=spec.lease_size,
        max_candidates=spec.max_candidates,
        image_size_px=64,
        opened_for=Cause("0" * 64, 1),
        cells=tuple(CellLedger(quota.cell, quota.recipe, quota.num_samples, 0, 0.8, 0.3, True) for quota in plan_mixture(diagnosis, spec)),
    )
    routes = dict.fromkeys(CELLS, (Offer("rendered"),))
    opened = open_plan(plan, routes)
    first = next(event.lease for event in consequences(opened, OPENING) if isinstance(event, GenerationRequested))
    review = Reviewed(first.lease_id, first.num_candidates, first.num_wanted // 2, 0, 0, Cause("1" * 64, 1))
    stored = to_json(opened)

    lines = {
        f"diagnosis of {len(answers)} answers": lambda: diagnose(answers),
        f"comparison on {len(pair[0])} probes": lambda: compare(*pair, baseline_model_id="run/0"),
        "promotion": lambda: decide_promotion(comparison, alpha=0.05, max_cell_regression=0.1),
        **{
            f"plan, {strategy.value}": lambda strategy=strategy: plan_mixture(diagnosis, replace(spec, strategy=strategy))
            for strategy in Strategy
            if strategy is not Strategy.FIXED
        },
        "review applied to a plan": lambda: apply_review(opened, review, routes),
        f"ledger of {len(stored)} bytes read": lambda: from_json(PlanLedger, stored),
        "ledger written": lambda: to_json(opened),
    }
    print(f"{Recipe.TEACH.value} cells: {sum(q.recipe is Recipe.TEACH for q in plan_mixture(diagnosis, spec))} of {len(CELLS)}")
    for name, work in lines.items():
        print(f"{name:36s} {microseconds(work):12,.0f} us")


if __name__ == "__main__":
    main()
