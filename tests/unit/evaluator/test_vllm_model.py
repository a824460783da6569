"""What a vLLM server is asked, and what becomes of its failures: against a scripted server over real HTTP."""

import asyncio
from pathlib import Path

import pytest

from services.evaluator.policy_model import Decoding, Prompt, greedy
from services.evaluator.vllm_model import VllmModel
from shared.errors import Retryable
from tests.unit.evaluator.asking import png
from tests.unit.evaluator.scripted_vllm import Fault, ScriptedVllm
from tests.unit.evaluator.vllm_policies import PROMPTS, SAMPLED, model_on, texts


async def test_answers_come_in_order_stripped_and_follow_the_seed(model: VllmModel, base: Path) -> None:
    first = texts(await model.generate(base, PROMPTS, SAMPLED, batch_size=64))
    assert first == texts(await model.generate(base, PROMPTS, SAMPLED, batch_size=64))
    one_each = texts(await model.generate(base, PROMPTS, Decoding(1, 0.7, 9, seed=11), batch_size=64))
    assert one_each == [answer[:1] for answer in first]
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
