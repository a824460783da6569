"""Both kinds in one run: agents on a scripted model server beside drawn scenes, the agents' room killed midway by SIGKILL."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from shared.run_spec import SpendingSpec
from tests.chaos.both_kinds import AGENTS, DRAWN, both_settings, fill_pool, read_practice, write_models
from tests.chaos.small_run import ENVIRONMENT, Kill, complaints, turn
from tests.scripted_llm import ScriptedLlm
from tests.scripted_llm.sighted import Sighted

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(900)]

BUDGET = SpendingSpec(max_calls=3000, max_tokens=30_000_000, max_cost_usd=20.0)


def test_agents_are_killed_midway_and_nothing_is_lost_or_overspent(tmp_path: Path) -> None:
    settings = both_settings(tmp_path, spending=BUDGET)
    with ScriptedLlm(Sighted(errors={"NumericItem": 0.1, "Solution": 0.05, "BlindAnswer": 0.05}), delay_s=0.1) as server:
        models = write_models(server, tmp_path)
        fill_pool(tmp_path / "state", tmp_path / "pictures.parquet")
        kills = [Kill("generators.agentic", 12, 1.5), Kill("generators.agentic", 24, 1.5)]
        outcome = asyncio.run(
            turn(tmp_path / "state", settings, kills=kills, environment={**ENVIRONMENT, "SPIRAL_MODELS_FILE": str(models)})
        )
        num_calls = len(server.requests)
    practice = asyncio.run(read_practice(tmp_path / "state"))

    assert outcome.killed == ["generators.agentic"] * 2
    assert complaints(outcome, outcome, settings) == []
    made = {kind: {sample.cell.category for sample in samples} for kind, samples in practice.samples.items()}
    assert made == {"agentic": {*AGENTS}, "rendered": {cell.category for cell in DRAWN}}
    assert practice.num_requested == practice.num_answered == len({review.lease.lease_id for review in practice.reviews})
    assert Counter(review.lease.lease_id for review in practice.reviews).most_common(1)[0][1] == 1, "a lease was reviewed twice"

    counted = sum(spend.num_calls for spend in practice.spending)
    assert num_calls <= counted <= BUDGET.max_calls, f"the server was asked {num_calls} times, the book counts {counted}"
    assert sum(spend.num_input_tokens + spend.num_output_tokens for spend in practice.spending) <= BUDGET.max_tokens
    assert 0 < sum(spend.cost_usd for spend in practice.spending) <= BUDGET.max_cost_usd
    claimed = sum(spend.cost_usd for review in practice.reviews for spend in review.spent)
    assert 0 < claimed <= sum(spend.cost_usd for spend in practice.spending) + 1e-9
    roles = {spend.role: (spend.num_calls, round(spend.cost_usd, 4)) for spend in practice.spending}
    print(f"samples { ({kind: len(samples) for kind, samples in practice.samples.items()}) }, calls and dollars by role {roles}")
