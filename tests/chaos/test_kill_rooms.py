"""Rooms and broker die by SIGKILL at random moments of a small run, and the run ends as if nobody had.

Ten rounds: SPIRAL_CHAOS_ROUNDS=10 python -m pytest tests/chaos, or `python -m tests.chaos.small_run` with a line for each.
"""

import asyncio
import os
from pathlib import Path

import pytest

from services.cli.run_settings import RunSettings
from tests.chaos.small_run import VICTIMS, Outcome, complaints, plan_kills, small_settings, turn

NUM_ROUNDS = int(os.environ.get("SPIRAL_CHAOS_ROUNDS", "1"))

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(1000)]


@pytest.fixture(scope="module")
def settings() -> RunSettings:
    return small_settings(seed=0, num_iterations=2)


@pytest.fixture(scope="module")
def undisturbed(settings: RunSettings, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return asyncio.run(turn(tmp_path_factory.mktemp("undisturbed"), settings))


def test_an_undisturbed_run_keeps_its_promises(undisturbed: Outcome, settings: RunSettings) -> None:
    assert complaints(undisturbed, undisturbed, settings) == []
    assert sorted(undisturbed.sealed) == list(range(1, settings.num_iterations + 1))
    assert all(undisturbed.sealed.values())


@pytest.mark.parametrize(("num_kills", "seed"), [(len(VICTIMS), seed) for seed in range(NUM_ROUNDS)])
def test_a_run_ends_as_if_nobody_had_been_killed(
    undisturbed: Outcome, settings: RunSettings, tmp_path: Path, num_kills: int, seed: int
) -> None:
    outcome = asyncio.run(turn(tmp_path / "state", settings, kills=plan_kills(undisturbed, num_kills=num_kills, seed=seed)))
    assert len(outcome.killed) == num_kills, "the run ended before all kills were due: it shows too little"
    assert complaints(outcome, undisturbed, settings) == []
