"""Which weights a vLLM server answers with: loads, crashes in the middle, servers that lie, and other clients."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.evaluator.policy_choice import open_policy
from services.evaluator.policy_model import greedy
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.vllm_model import VllmModel
from shared.errors import BadConfiguration, Rejected, Retryable
from tests.unit.evaluator.scripted_vllm import Fault, ScriptedVllm, scripted_vllm, weights_of
from tests.unit.evaluator.vllm_policies import PROMPTS, SAMPLED, model_on, texts, write_weights


async def test_another_checkpoint_is_answered_with_its_own_weights_and_back_again(
    model: VllmModel, base: Path, trained: Path, script: ScriptedVllm
) -> None:
    first = texts(await model.generate(base, PROMPTS, greedy(4), batch_size=64))
    second = texts(await model.generate(trained, PROMPTS, greedy(4), batch_size=64))
    assert script.weights == weights_of(trained)
    assert not set(first) & set(second)
    assert texts(await model.generate(base, PROMPTS, greedy(4), batch_size=64)) == first
    assert (script.is_paused, script.version.startswith("spiral-")) == (False, True)


async def test_calls_for_two_checkpoints_at_once_never_meet_on_the_server(model: VllmModel, base: Path, trained: Path) -> None:
    alone = [texts(await model.generate(path, PROMPTS, SAMPLED, batch_size=64)) for path in (base, trained)]
    crowded = await asyncio.gather(*(model.generate(path, PROMPTS, SAMPLED, batch_size=64) for path in (base, trained) * 3))
    assert [texts(answers) for answers in crowded] == alone * 3


@pytest.mark.parametrize(
    "route", ["/pause", "/update_weight_version", "/collective_rpc", "/reset_prefix_cache", "/reset_mm_cache", "/resume", "/weight_info"]
)
async def test_a_load_that_breaks_off_anywhere_is_done_anew(
    script: ScriptedVllm, base: Path, trained: Path, tmp_path: Path, route: str
) -> None:
    async with model_on(script, tmp_path / "shared") as model:
        await model.generate(base, PROMPTS[:1], greedy(4), batch_size=8)
        script.failing_routes[route] = [500]
        with pytest.raises(Retryable, match=f"{route}.* with 500"):
            await model.generate(trained, PROMPTS, greedy(4), batch_size=8)
    async with model_on(script, tmp_path / "shared") as next_life:
        expected = texts(await next_life.generate(trained, PROMPTS, greedy(4), batch_size=8))
    assert (script.is_paused, script.weights) == (False, weights_of(trained))
    assert len(set(expected)) == len(PROMPTS)


async def test_a_server_that_was_started_again_is_loaded_again(model: VllmModel, base: Path, trained: Path, script: ScriptedVllm) -> None:
    before = texts(await model.generate(trained, PROMPTS, greedy(4), batch_size=8))
    script.restart()
    with pytest.raises(Retryable, match="started again"):
        await model.generate(trained, PROMPTS, greedy(4), batch_size=8)
    assert texts(await model.generate(trained, PROMPTS, greedy(4), batch_size=8)) == before


async def test_answers_during_which_another_client_replaced_the_weights_are_thrown_away(
    model: VllmModel, base: Path, trained: Path, script: ScriptedVllm, tmp_path: Path
) -> None:
    await model.generate(base, PROMPTS, greedy(4), batch_size=8)
    script.answering.clear()
    script.faults["How"] = [Fault(delay_s=0.2) for _ in range(4)]
    call = asyncio.create_task(model.generate(base, PROMPTS, greedy(4), batch_size=8))
    await asyncio.to_thread(script.answering.wait, 5)
    async with model_on(script, tmp_path / "shared-too") as second:
        await second.generate(trained, PROMPTS[:1], greedy(4), batch_size=8)
    with pytest.raises(Retryable, match="a server of its own"):
        await call


async def test_a_server_that_keeps_the_old_weights_and_says_otherwise_is_found_out(
    model: VllmModel, base: Path, trained: Path, script: ScriptedVllm
) -> None:
    script.takes_weights = False
    texts(await model.generate(base, PROMPTS, greedy(4), batch_size=8))
    for _ in range(2):
        with pytest.raises(Retryable, match=r"answers as with.*restart it"):
            await model.generate(trained, PROMPTS, greedy(4), batch_size=8)


async def test_a_server_that_answers_otherwise_with_the_same_weights_is_found_out(
    model: VllmModel, base: Path, trained: Path, script: ScriptedVllm, tmp_path: Path
) -> None:
    for path in (base, trained):
        await model.generate(path, PROMPTS[:1], greedy(4), batch_size=8)
    script.takes_weights, script.weights = False, "half of one and half of another"
    with pytest.raises(Retryable, match="more than one checkpoint"):
        await model.generate(base, PROMPTS, greedy(4), batch_size=8)


async def test_the_same_weights_under_another_name_are_taken(model: VllmModel, base: Path, tmp_path: Path) -> None:
    first = texts(await model.generate(base, PROMPTS, greedy(4), batch_size=8))
    again = write_weights(tmp_path / "again", 1)
    assert texts(await model.generate(again, PROMPTS, greedy(4), batch_size=8)) == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (2, 3)}, "other weights"),
        ({"template": "another"}, "another chat template"),
        ({"tied": True}, "tied embeddings.*save it untied"),
    ],
)
async def test_a_checkpoint_that_does_not_fit_never_reaches_the_server(
    model: VllmModel, script: ScriptedVllm, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Rejected, match=message):
        await model.generate(write_weights(tmp_path / "other", 3, **changes), PROMPTS, greedy(4), batch_size=8)
    assert not {"/pause", "/collective_rpc"} & set(script.routes)


async def test_the_shared_directory_holds_the_last_two_checkpoints_and_nothing_of_a_former_life(
    script: ScriptedVllm, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    for _ in range(2):
        async with model_on(script, shared) as model:
            assert list(shared.iterdir()) == []
            for number in range(3):
                path = tmp_path / f"checkpoint-{number}"
                await model.generate(path if path.is_dir() else write_weights(path, number), PROMPTS[:1], greedy(4), batch_size=8)
    assert len(list(shared.iterdir())) == 2


async def test_a_server_without_the_development_routes_or_without_a_visible_model_says_what_to_do(base: Path, tmp_path: Path) -> None:
    with scripted_vllm(base, is_in_dev_mode=False) as script:
        async with model_on(script, tmp_path / "shared") as model:
            with pytest.raises(Retryable, match="VLLM_SERVER_DEV_MODE=1"):
                await model.generate(base, PROMPTS, greedy(4), batch_size=8)
    async with model_on(script, tmp_path / "shared") as model:
        with pytest.raises(Retryable, match="see whether it runs"):
            await model.generate(base, PROMPTS, greedy(4), batch_size=8)
    with scripted_vllm(base) as elsewhere:
        elsewhere.root = tmp_path / "on another machine"
        async with model_on(elsewhere, tmp_path / "shared") as model:
            with pytest.raises(Retryable, match="mount it at the same path"):
                await model.generate(base, PROMPTS, greedy(4), batch_size=8)


async def test_a_server_without_a_directory_to_share_is_a_wrong_setting(tmp_path: Path) -> None:
    values: dict[str, Any] = {"store_url": f"file://{tmp_path}", "policy_server_url": "http://vllm:8000"}
    with pytest.raises(BadConfiguration, match="SPIRAL_POLICY_SERVER_DIR"):
        open_policy(EvaluatorSettings(**values))
    await asyncio.to_thread((tmp_path / "file").touch)
    with pytest.raises(BadConfiguration, match="no directory that this process can write"):
        async with open_policy(EvaluatorSettings(**values, policy_server_dir=tmp_path / "file" / "below")):
            pass
