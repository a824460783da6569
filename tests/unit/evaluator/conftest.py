"""A scripted vLLM server, a policy on it, and two checkpoints for it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.evaluator.vllm_model import VllmModel
from tests.unit.evaluator.scripted_vllm import ScriptedVllm, scripted_vllm
from tests.unit.evaluator.vllm_policies import model_on, write_weights


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "base", 1)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "trained", 2)


@pytest.fixture
def script(base: Path) -> Iterator[ScriptedVllm]:
    with scripted_vllm(base) as made:
        yield made
        assert made.violations == []


@pytest.fixture
async def model(script: ScriptedVllm, tmp_path: Path) -> AsyncIterator[VllmModel]:
    async with model_on(script, tmp_path / "shared") as made:
        yield made
