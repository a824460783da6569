"""What every policy adapter promises, on the model in this process, a scripted vLLM server and, where one is named, a real one.

A real server is started with the shipped base checkpoint, as deploy/vllm/README.md shows, for this test alone:
`SPIRAL_TEST_VLLM_URL=http://127.0.0.1:8000 SPIRAL_TEST_VLLM_DIR=/directory/that/it/sees`.
"""

import asyncio
import os
import shutil
import warnings
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from services.evaluator.policy_model import Completions, Decoding, PolicyModel, Prompt, greedy
from services.evaluator.transformers_model import TransformersModel
from services.evaluator.vllm_model import VllmModel
from tests.integration.tiny_policies import questions, text_of
from tests.unit.evaluator.scripted_vllm import scripted_vllm

pytestmark = pytest.mark.torch

BASE = Path("deploy/local/base_model/checkpoint").absolute()
SAMPLED = Decoding(num_samples=3, temperature=1.0, max_new_tokens=4, seed=11)
SHARE_AGREEING = 0.9


def real_server() -> tuple[str, Path]:
    url, directory = os.environ.get("SPIRAL_TEST_VLLM_URL"), os.environ.get("SPIRAL_TEST_VLLM_DIR")
    if not url or not directory:
        reason = "NOT RUN against a real vLLM server: set SPIRAL_TEST_VLLM_URL and SPIRAL_TEST_VLLM_DIR (deploy/vllm/README.md)"
        warnings.warn(reason, stacklevel=2)
        pytest.skip(reason)
    return url, Path(directory)


def on_server(url: str, directory: Path) -> VllmModel:
    return VllmModel(url=url, directory=directory, max_in_flight=8, timeout_s=60.0, swap_timeout_s=60.0, max_image_pixels=1 << 20)


def in_process() -> TransformersModel:
    return TransformersModel(dtype="auto", device="cpu", num_threads=1, max_loaded=2, max_image_pixels=1 << 20)


@pytest.fixture(params=["transformers", "scripted", "vllm"])
async def policy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PolicyModel]:
    if request.param == "transformers":
        async with in_process() as model:
            yield model
    elif request.param == "scripted":
        with scripted_vllm(BASE) as script:
            async with on_server(script.url, tmp_path) as model:
                yield model
        assert script.violations == []
    else:
        async with on_server(*real_server()) as model:
            yield model


@pytest.fixture(scope="module")
def perturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base checkpoint with a little noise on every weight."""
    import torch
    from safetensors.torch import load_file, save_file

    directory = tmp_path_factory.mktemp("perturbed") / "checkpoint"
    shutil.copytree(BASE, directory)
    torch.manual_seed(5)
    weights = {
        name: weight + 0.3 * weight.std() * torch.randn_like(weight) for name, weight in load_file(BASE / "model.safetensors").items()
    }
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def prompts(num: int) -> list[Prompt]:
    return [Prompt(candidate.image, text_of(candidate)) for candidate in questions(1, seed=3)][:num]


async def test_answers_come_in_order_as_many_as_asked_and_follow_the_seed(policy: PolicyModel) -> None:
    asked = prompts(8)
    first = await policy.generate(BASE, asked, SAMPLED, batch_size=64)
    assert [len(answer.texts) for answer in first] == [3] * 8
    assert await policy.generate(BASE, asked, SAMPLED, batch_size=64) == first
    assert await policy.generate(BASE, asked, replace(SAMPLED, seed=12), batch_size=64) != first
    assert all(text == text.strip() for answer in first for text in answer.texts)


async def test_a_greedy_answer_is_one_and_always_the_same(policy: PolicyModel) -> None:
    first = await policy.generate(BASE, prompts(6), greedy(4), batch_size=64)
    assert [len(answer.texts) for answer in first] == [1] * 6
    assert await policy.generate(BASE, prompts(6), greedy(4), batch_size=64) == first


async def test_an_unreadable_image_fails_alone(policy: PolicyModel) -> None:
    torn, whole, foreign = prompts(3)
    answers = await policy.generate(
        BASE, [replace(torn, image=torn.image[:50]), whole, replace(foreign, image=b"GIF89a")], greedy(3), batch_size=8
    )
    assert [bool(answer.failure) for answer in answers] == [True, False, True]
    assert [len(answer.texts) for answer in answers] == [0, 1, 0]


async def test_two_checkpoints_asked_at_once_answer_each_with_its_own_weights(policy: PolicyModel, perturbed: Path) -> None:
    asked = prompts(24)
    alone = [await policy.generate(path, asked, greedy(4), batch_size=64) for path in (BASE, perturbed)]
    assert alone[0] != alone[1]
    crowded = await asyncio.gather(*(policy.generate(path, asked, greedy(4), batch_size=64) for path in (BASE, perturbed) * 2))
    assert list(crowded) == alone * 2


async def test_a_cancelled_call_leaves_a_policy_that_answers(policy: PolicyModel) -> None:
    expected = await policy.generate(BASE, prompts(4), greedy(4), batch_size=64)
    call = asyncio.create_task(policy.generate(BASE, prompts(24), replace(SAMPLED, max_new_tokens=64), batch_size=64))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await policy.generate(BASE, prompts(4), greedy(4), batch_size=64) == expected


async def test_a_real_server_answers_as_the_model_in_this_process(perturbed: Path) -> None:
    url, directory = real_server()
    asked = prompts(24)
    async with on_server(url, directory) as server, in_process() as model:
        for path in (BASE, perturbed, BASE):
            there = await server.generate(path, asked, greedy(8), batch_size=64)
            here = await model.generate(path, asked, greedy(8), batch_size=64)
            share = agreeing(there, here)
            print(f"{path.parent.name}: {share:.3f} of {len(asked)} greedy answers agree")
            assert share >= SHARE_AGREEING


def agreeing(first: Sequence[Completions], second: Sequence[Completions]) -> float:
    assert not any(answer.failure for answer in (*first, *second))
    return sum(one.texts == other.texts for one, other in zip(first, second, strict=True)) / len(first)
