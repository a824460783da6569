"""What the policy on a vLLM server promises, against a scripted server over real HTTP."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.evaluator.policy_choice import open_policy
from services.evaluator.policy_model import Completions, Decoding, Prompt, greedy
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.vllm_model import VllmModel
from shared.errors import BadConfiguration, Rejected, Retryable
from tests.unit.evaluator.asking import png
from tests.unit.evaluator.scripted_vllm import Fault, ScriptedVllm, scripted_vllm, weights_of

SAMPLED = Decoding(num_samples=3, temperature=0.7, max_new_tokens=9, seed=11)
PROMPTS = [Prompt(png(number), f"How many in {number}?") for number in range(6)]


def write_weights(directory: Path, fill: int, *, shape: tuple[int, int] = (2, 2), template: str = "t", tied: bool = False) -> Path:
    """A checkpoint whose few weights all have one value."""
    names = ["model.embed_tokens.weight", *([] if tied else ["lm_head.weight"])]
    size = 4 * shape[0] * shape[1]
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [n * size, (n + 1) * size]} for n, name in enumerate(names)}
    encoded = json.dumps(header).encode()
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes([fill]) * size * len(names))
    (directory / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": []}))
    (directory / "processor_config.json").write_text("{}")
    (directory / "chat_template.jinja").write_text(template)
    return directory


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


@asynccontextmanager
async def model_on(script: ScriptedVllm, directory: Path, **changes: Any) -> AsyncIterator[VllmModel]:
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    how = {"max_in_flight": 4, "timeout_s": 5.0, "swap_timeout_s": 5.0, "max_image_pixels": 1 << 20, **changes}
    async with VllmModel(url=script.url, directory=directory, **how) as model:
        yield model


@pytest.fixture
async def model(script: ScriptedVllm, tmp_path: Path) -> AsyncIterator[VllmModel]:
    async with model_on(script, tmp_path / "shared") as made:
        yield made


def texts(answers: Sequence[Completions]) -> list[tuple[str, ...]]:
    assert not any(answer.failure for answer in answers)
    return [answer.texts for answer in answers]


async def test_answers_come_in_order_stripped_and_follow_the_seed(model: VllmModel, base: Path) -> None:
    first = texts(await model.generate(base, PROMPTS, SAMPLED, batch_size=64))
    assert first == texts(await model.generate(base, PROMPTS, SAMPLED, batch_size=64))
    assert first[:2] == texts(await model.generate(base, PROMPTS[:2], SAMPLED, batch_size=3))
    others = texts(await model.generate(base, PROMPTS, Decoding(3, 0.7, 9, seed=12), batch_size=64))
    assert not {text for answer in first for text in answer} & {text for answer in others for text in answer}
    assert [len(set(answer)) for answer in first] == [3] * len(PROMPTS)
    assert all(text == text.strip() for answer in first for text in answer)


async def test_a_greedy_answer_is_asked_for_without_chance(model: VllmModel, base: Path, script: ScriptedVllm) -> None:
    answers = texts(await model.generate(base, PROMPTS, greedy(7), batch_size=64))
    assert [len(answer) for answer in answers] == [1] * len(PROMPTS)
    asked = script.requests[-1]
    assert (asked["temperature"], asked["max_completion_tokens"], asked["top_k"], asked["repetition_penalty"]) == (0.0, 7, 0, 1.0)


async def test_the_question_and_its_image_are_asked_as_in_this_process(model: VllmModel, base: Path, script: ScriptedVllm) -> None:
    await model.generate(base, [Prompt(png(), "How many?\nAnswer with a number.")], greedy(7), batch_size=1)
    (message,) = script.requests[-1]["messages"]
    assert (message["role"], [part["type"] for part in message["content"]]) == ("user", ["image_url", "text"])
    assert message["content"][1]["text"] == "How many?\nAnswer with a number."


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


@pytest.mark.parametrize(("batch_size", "most"), [(3, 1), (6, 2), (64, 4)])
async def test_no_more_samples_are_in_flight_than_the_batch_size_and_the_setting_allow(
    model: VllmModel, base: Path, script: ScriptedVllm, batch_size: int, most: int
) -> None:
    script.faults["How"] = [Fault(delay_s=0.05) for _ in PROMPTS]
    await model.generate(base, PROMPTS, SAMPLED, batch_size=batch_size)
    assert script.max_answering == most


async def test_an_unreadable_or_huge_image_fails_alone_and_is_never_sent(script: ScriptedVllm, base: Path, tmp_path: Path) -> None:
    asked = [Prompt(b"GIF89a", "torn"), PROMPTS[0], Prompt(png()[:30], "torn")]
    async with model_on(script, tmp_path / "shared", max_image_pixels=64) as model:
        answers = await model.generate(base, asked, greedy(4), batch_size=8)
    assert [bool(answer.failure) for answer in answers] == [True, False, True]
    assert not any("torn" in str(request) for request in script.requests)
    async with model_on(script, tmp_path / "shared", max_image_pixels=63) as model:
        (answer,) = await model.generate(base, [PROMPTS[0]], greedy(4), batch_size=8)
    assert "8×8 px is more than 63" in answer.failure


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_prompt_that_the_server_refuses_fails_alone(model: VllmModel, base: Path, script: ScriptedVllm, status: int) -> None:
    script.faults["in 1?"] = [Fault(status=status)]
    answers = await model.generate(base, PROMPTS[:3], greedy(4), batch_size=8)
    assert [bool(answer.failure) for answer in answers] == [False, True, False]
    assert f"planted {status}" in answers[1].failure


@pytest.mark.parametrize(
    "fault",
    [Fault(status=500), Fault(status=429, headers={"Retry-After": "1"}), Fault(hangs_up=True), Fault(delay_s=0.6)],
    ids=["500", "429", "hang-up", "timeout"],
)
async def test_a_fault_that_passes_costs_nothing_but_time(script: ScriptedVllm, base: Path, tmp_path: Path, fault: Fault) -> None:
    async with model_on(script, tmp_path / "shared", timeout_s=0.5) as model:
        undisturbed = await model.generate(base, PROMPTS, SAMPLED, batch_size=64)
        script.faults["in 1?"] = [fault]
        assert await model.generate(base, PROMPTS, SAMPLED, batch_size=64) == undisturbed
        assert not script.faults["in 1?"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(status=500), "answers 500.*planted 500"),
        (Fault(status=401), "answers 401"),
        (Fault(status=404), "answers 404"),
        (Fault(is_truncated=True), "unreadable"),
        (Fault(finish_reason="abort"), "broke off.*abort"),
        (Fault(hangs_up=True), "gave no answer"),
    ],
    ids=["500", "401", "404", "truncated", "aborted", "hang-up"],
)
async def test_a_lasting_fault_is_never_a_wrong_answer(
    model: VllmModel, base: Path, script: ScriptedVllm, fault: Fault, message: str
) -> None:
    await model.generate(base, PROMPTS[:1], greedy(4), batch_size=8)
    script.faults["in 1?"] = [fault] * 4
    with pytest.raises(Retryable, match=message):
        await model.generate(base, PROMPTS, greedy(4), batch_size=8)
    script.faults.clear()
    texts(await model.generate(base, PROMPTS, greedy(4), batch_size=8))


async def test_a_cancelled_call_gives_up_its_requests(model: VllmModel, base: Path, script: ScriptedVllm) -> None:
    await model.generate(base, PROMPTS[:1], greedy(4), batch_size=8)
    num_asked = len(script.requests)
    script.answering.clear()
    script.faults["How"] = [Fault(delay_s=0.3) for _ in range(4)]
    call = asyncio.create_task(model.generate(base, PROMPTS, greedy(4), batch_size=8))
    await asyncio.to_thread(script.answering.wait, 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    script.faults.clear()
    texts(await model.generate(base, PROMPTS[:1], greedy(4), batch_size=8))
    assert len(script.requests) <= num_asked + 5


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
    with pytest.raises(BadConfiguration, match="no directory that this process can write"):
        async with open_policy(EvaluatorSettings(**values, policy_server_dir=tmp_path / "nowhere")):
            pass
