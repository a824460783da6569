"""The port to language models over real HTTP: typed replies, re-asks, what is kept, what is paid, and what goes to whom."""

import asyncio
import base64
import json
import threading
import traceback
from pathlib import Path

import pytest

from shared.domain import Spend
from shared.errors import BadConfiguration, Rejected, Retryable
from shared.llm import BudgetSpent, Call, InvalidReply, Part, Role
from shared.run_spec import RoleLimit, SpendingSpec
from shared.store import ObjectStore
from tests.contract.llm_desk import RUN, Count, desk, scripted_desk
from tests.scripted_llm import ChatRequest, Fault, ScriptedLlm
from tests.unit.llm.memory_bucket import MemoryBucket

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
GOOD = '{"number": 4}'


async def test_a_reply_is_a_value_of_the_type_asked_for_with_what_it_cost(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, Fault.billed(GOOD, num_input_tokens=100, num_output_tokens=10)) as (opened, llm):
        call = Call(Role.SOLVE, RUN, "Look.", (Part(text="How many?"), Part(image=PNG)), temperature=0.7, seed=5)
        reply = await opened.models.ask(call, Count)
        assert reply.value == Count(number=4)
        assert (reply.model, reply.is_cached) == ("solver", False)
        assert reply.spent == Spend("solve", 1, 100, 10, 0.00012)
        assert await opened.spent() == Spend("", 1, 100, 10, 0.00012)
        (request,) = llm.requests
        assert (request.model, request.system, request.texts, request.images) == ("solver", "Look.", ("How many?",), (PNG,))
        assert (request.schema_name, request.seed, request.temperature) == ("Count", 5, 0.7)
        assert request.body["max_completion_tokens"] == 1024
        assert not llm.violations


async def test_the_same_call_is_paid_once_also_by_another_process(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path) as (opened, llm):
        first = await opened.ask()
        async with desk(tmp_path, llm.url, bucket=opened.bucket) as another:
            again = await another.ask()
        assert (again.value, again.digest, again.is_cached) == (first.value, first.digest, True)
        assert again.spent == Spend("ask", 0, 0, 0, 0.0)
        assert len(llm.requests) == 1
        assert (await opened.ask(seed=1)).is_cached is False
        assert (await opened.spent()).num_calls == len(llm.requests) == 2


async def test_equal_calls_at_the_same_time_share_one_request(tmp_path: Path) -> None:
    with ScriptedLlm(lambda request: GOOD, delay_s=0.05) as llm:
        async with desk(tmp_path, llm.url) as opened:
            replies = await asyncio.gather(*(opened.ask() for _ in range(20)))
            assert len(llm.requests) == 1
            assert sorted(reply.is_cached for reply in replies) == [False] + [True] * 19
            assert sum(reply.spent.num_calls for reply in replies) == (await opened.spent()).num_calls == 1


async def test_a_call_that_is_given_up_does_not_take_its_equals_with_it(tmp_path: Path) -> None:
    has_come, may_answer = threading.Event(), threading.Event()

    def answer(request: ChatRequest) -> str:
        has_come.set()
        may_answer.wait(5)
        return GOOD

    with ScriptedLlm(answer) as llm:
        async with desk(tmp_path, llm.url) as opened:
            first = asyncio.ensure_future(opened.ask())
            second = asyncio.ensure_future(opened.ask())
            await asyncio.to_thread(has_come.wait, 5)
            first.cancel()
            await asyncio.wait({first})
            may_answer.set()
            assert (await second).value == Count(number=4)
            assert len(llm.requests) == 1


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ('{"number": "four"}', "number: Input should be a valid integer"),
        ('{"other": 4}', "number: Field required"),
        ('{"number": 4', "Invalid JSON"),
        (Fault.truncated('{"number": 4'), "cut at the limit of its length. Be much shorter."),
        (Fault.empty(), "the reply was empty"),
    ],
)
async def test_an_unusable_reply_is_asked_for_again_with_the_error_told(tmp_path: Path, bad: str | Fault, told: str) -> None:
    async with scripted_desk(tmp_path, bad) as (opened, llm):
        reply = await opened.ask()
        assert reply.value == Count(number=4)
        assert reply.spent.num_calls == (await opened.spent()).num_calls == 2
        said, complaint = llm.requests[1].later
        assert said[0] == "assistant"
        assert complaint[0] == "user"
        assert told in complaint[1]
        assert (await opened.ask()).is_cached
        assert len(llm.requests) == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"number": "four"}', "schema"),
        ('{"number": 4', "schema"),
        (Fault.truncated(GOOD), "truncated"),
        (Fault.empty(), "empty"),
    ],
)
async def test_after_two_more_tries_it_is_a_failure_never_a_default(tmp_path: Path, bad: str | Fault, reason: str) -> None:
    async with scripted_desk(tmp_path, bad, bad, bad) as (opened, llm):
        with pytest.raises(InvalidReply) as caught:
            await opened.ask()
        assert caught.value.reason == reason
        assert (caught.value.role, caught.value.model) == (Role.ASK, "scripted")
        assert caught.value.spent.num_calls == (await opened.spent()).num_calls == len(llm.requests) == 3
        assert [len(request.later) for request in llm.requests] == [0, 2, 4]
        assert (await opened.ask()).value == Count(number=4), "a failure is not kept"


@pytest.mark.parametrize("refusal", [Fault.refuse(), Fault.filtered()])
async def test_a_refusal_is_a_failure_at_once(tmp_path: Path, refusal: Fault) -> None:
    async with scripted_desk(tmp_path, refusal) as (opened, llm):
        with pytest.raises(InvalidReply) as caught:
            await opened.ask()
        assert caught.value.reason == "refusal"
        assert len(llm.requests) == 1


async def test_a_server_without_json_schema_gets_it_in_the_prompt(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, f"```json\n{GOOD}\n```", supports_json_schema=False) as (opened, llm):
        assert (await opened.ask()).value == Count(number=4)
        assert llm.requests[0].body["response_format"] == {"type": "json_object"}
        assert llm.requests[0].schema_name == "Count"


async def test_one_of_several_models_is_asked_by_name(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path) as (opened, llm):
        assert opened.models.models(Role.VERIFY) == ("judge-a", "judge-b")
        assert (await opened.ask(role=Role.VERIFY)).model == "judge-a"
        assert (await opened.ask(role=Role.VERIFY, model="judge-b")).model == "judge-b"
        assert [request.model for request in llm.requests] == ["judge-a", "judge-b"]
        with pytest.raises(BadConfiguration, match=r"\[roles\] verify: 'judge-c' is not among its models \(judge-a, judge-b\)"):
            await opened.ask(role=Role.VERIFY, model="judge-c")


async def test_a_role_without_a_model_is_told(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, embed=None) as (opened, _):
        assert opened.models.models(Role.EMBED) == ()
        with pytest.raises(BadConfiguration, match=r"models\.toml: \[roles\] embed: no model is named"):
            await opened.models.embed(["a"], run_id=RUN)


async def test_the_budget_is_reserved_before_each_call_and_never_overrun(tmp_path: Path) -> None:
    limits = SpendingSpec(max_calls=7, role_limits=(RoleLimit("solve", max_calls=2),))
    with ScriptedLlm(lambda request: GOOD, delay_s=0.01) as llm:
        async with desk(tmp_path, llm.url, limits=limits) as opened:
            roles = [Role.SOLVE, Role.ASK, Role.ASK] * 10
            outcomes = await asyncio.gather(*(opened.ask(n, role=role) for n, role in enumerate(roles)), return_exceptions=True)
            assert len(llm.requests) == 7
            assert sum(request.model == "solver" for request in llm.requests) <= 2
            assert sum(isinstance(outcome, BudgetSpent) for outcome in outcomes) == 23
            assert (await opened.spent()).num_calls == 7
            cached = next(n for n, outcome in enumerate(outcomes) if not isinstance(outcome, BudgetSpent))
            assert (await opened.ask(cached, role=roles[cached])).is_cached, "what is kept needs no budget"


async def test_tokens_and_money_bound_calls_before_they_are_made(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, limits=SpendingSpec(max_tokens=1000)) as (opened, llm):
        with pytest.raises(BudgetSpent, match="the run counts 0 of 1000 tokens"):
            await opened.ask()
        reply = await opened.ask(max_output_tokens=100)
        assert reply.value == Count(number=4)
        assert len(llm.requests) == 1
    async with scripted_desk(tmp_path, limits=SpendingSpec(max_cost_usd=0.0001)) as (opened, llm):
        with pytest.raises(BudgetSpent, match=r"0 of 0\.0001 USD"):
            await opened.ask(seed=1)
        assert not llm.requests


async def test_an_answer_that_does_not_say_what_it_cost_counts_at_its_worst_case(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, Fault.unbilled(GOOD)) as (opened, _):
        reply = await opened.ask(max_output_tokens=300)
        assert reply.spent.num_output_tokens == 300
        assert reply.spent.num_input_tokens > len("Count.How many?")


class _FullStore:
    """A store that takes nothing more."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def create(self, key: str, payload: bytes) -> bool:
        raise Retryable("the store is away")

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


async def test_a_reply_that_can_not_be_kept_is_used_and_paid_twice_at_most(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    async with scripted_desk(tmp_path, wrapped=_FullStore, bucket=bucket) as (opened, llm):
        assert (await opened.ask()).value == Count(number=4)
        async with desk(tmp_path, llm.url, bucket=bucket) as restarted:
            assert not (await restarted.ask()).is_cached
            assert (await restarted.ask()).is_cached
            assert (await restarted.spent()).num_calls == len(llm.requests) == 2


async def test_texts_are_embedded_in_their_order_and_paid_once(tmp_path: Path) -> None:
    texts = [f"word-{number} and more" for number in range(50)]
    async with scripted_desk(tmp_path) as (opened, llm):
        reply = await opened.models.embed(texts, run_id=RUN)
        assert [pytest.approx(llm.embedding(text), abs=1e-6) for text in texts] == reply.value
        assert (reply.spent.role, reply.spent.num_calls) == ("embed", 1)
        again = await opened.models.embed(texts, run_id=RUN)
        assert (again.value, again.is_cached, again.spent.num_calls) == (reply.value, True, 0)
        assert len(llm.embedding_requests) == 1
        for nothing in ([], ["a", ""]):
            with pytest.raises(Rejected, match="an empty text has no embedding"):
                await opened.models.embed(nothing, run_id=RUN)


async def test_vectors_that_do_not_fit_are_a_failure(tmp_path: Path) -> None:
    with ScriptedLlm(lambda request: GOOD, embedding=lambda text: [1.0] * len(text)) as llm:
        async with desk(tmp_path, llm.url) as opened:
            with pytest.raises(InvalidReply, match=r"2 texts got 2 vectors of \[1, 2\] numbers"):
                await opened.models.embed(["a", "bb"], run_id=RUN)


async def test_an_image_is_edited_as_a_text_says_and_paid_once(tmp_path: Path) -> None:
    with ScriptedLlm(lambda request: GOOD, edit=lambda request: PNG + b"edited") as llm:
        async with desk(tmp_path, llm.url) as opened:
            reply = await opened.models.edit_image(PNG, "make it red", run_id=RUN, seed=9)
            assert (reply.value, reply.model) == (PNG + b"edited", "editor")
            (request,) = llm.edit_requests
            assert (request.image, request.prompt, request.seed, request.model) == (PNG, "make it red", 9, "editor")
            assert reply.spent.num_calls == (await opened.spent()).num_calls == 1
            again = await opened.models.edit_image(PNG, "make it red", run_id=RUN, seed=9)
            assert (again.value, again.is_cached) == (reply.value, True)
            assert len(llm.edit_requests) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"GIF89a", "it sent no image"),
        (Fault.garbled('{"data": [{"url": "http://127.0.0.1/secret"}]}'), "addresses are not followed"),
        (Fault.garbled('{"data": [{"b64_json": "§§§"}]}'), "it sent no image"),
    ],
)
async def test_something_else_than_an_image_is_a_failure(tmp_path: Path, answer: bytes | Fault, told: str) -> None:
    with ScriptedLlm(lambda request: GOOD, edit=lambda request: answer) as llm:
        async with desk(tmp_path, llm.url) as opened:
            with pytest.raises(InvalidReply, match=told):
                await opened.models.edit_image(PNG, "make it red", run_id=RUN, seed=9)


async def test_keys_stay_out_of_bodies_logs_errors_and_replies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canary = "sk-canary-0123456789"
    key_file = tmp_path / "key"
    key_file.write_text(canary + "\n")

    def echoed(request: ChatRequest) -> str | Fault:
        authorization = request.headers["authorization"]
        if request.seed is not None and request.seed < 1000:
            return Fault.failed(request.seed, body=json.dumps({"error": {"message": f"bad {authorization}"}}))
        return GOOD

    with ScriptedLlm(echoed, api_key=canary) as llm:
        told = []
        for status in (400, 404, 422, 429, 500, 401):
            async with desk(tmp_path, llm.url, api_key_file=key_file) as opened:
                with pytest.raises((Retryable, Rejected), match=r"\[key\]") as caught:
                    await opened.ask(seed=status)
                told += traceback.format_exception(caught.value, limit=0)
        async with desk(tmp_path, llm.url, api_key_file=key_file) as opened:
            told.append(repr(await opened.ask(seed=1000)))
            told.append(repr(opened.models))
        assert all(request.headers["authorization"] == f"Bearer {canary}" for request in llm.requests)
        everything = "".join(told) + "".join(capsys.readouterr()) + "".join(f"{entry!r}" for entry in opened.bucket.history)
        assert canary not in everything
        assert all(canary.encode() not in body for body in llm.bodies)
        assert all(canary.encode() not in path.read_bytes() for path in (tmp_path / "objects").rglob("*") if path.is_file())


async def test_two_hundred_calls_at_once_are_answered_within_the_limit_of_the_endpoint(tmp_path: Path) -> None:
    in_answer = threading.Semaphore(64)

    def answer(request: ChatRequest) -> str:
        assert in_answer.acquire(blocking=False)
        try:
            threading.Event().wait(0.02)
        finally:
            in_answer.release()
        return json.dumps({"number": request.seed})

    with ScriptedLlm(answer) as llm:
        async with desk(tmp_path, llm.url, timeout_s=30.0) as opened:
            replies = await asyncio.gather(*(opened.ask(seed) for seed in range(200)))
            assert [reply.value.number for reply in replies] == list(range(200))
            assert 16 < llm.max_in_flight_seen <= 64
            assert (await opened.spent()).num_calls == 200
