"""Endpoints that fail, over real HTTP: what is tried again, what it costs, and when an endpoint is spared."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from shared.errors import BadConfiguration, Rejected, Retryable
from shared.llm.tuning import Tuning
from tests.broker import free_port
from tests.contract.llm_desk import QUICK, Count, desk, scripted_desk
from tests.scripted_llm import ChatRequest, Fault, ScriptedLlm
from tests.unit.llm.memory_bucket import MemoryBucket

GOOD = '{"number": 4}'
AT_ONCE = 60.0
"""Far beyond what any of these takes: what runs into it hangs."""


async def ended(of: Callable[[], bool]) -> None:
    """Waits until something in another thread holds."""

    def wait() -> None:
        deadline = time.monotonic() + 10
        while not of() and time.monotonic() < deadline:
            time.sleep(0.005)

    await asyncio.to_thread(wait)
    assert of()


@pytest.mark.parametrize("fault", [Fault.failed(500), Fault.failed(503), Fault.failed(408), Fault.failed(429), Fault.failed(529)])
async def test_what_may_pass_is_asked_again_and_not_paid(tmp_path: Path, fault: Fault) -> None:
    async with scripted_desk(tmp_path, fault, fault) as (opened, llm):
        reply = await opened.ask()
        assert reply.value == Count(number=4)
        assert len(llm.requests) == 3
        assert reply.spent.num_calls == (await opened.spent()).num_calls == 1


async def test_what_does_not_pass_is_retryable_after_bounded_attempts_and_not_paid(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, *[Fault.failed(429)] * 9) as (opened, llm):
        with pytest.raises(Retryable, match=r"the endpoint 'test' at http://.*/v1 answers 429 \(planted 429\)"):
            await opened.ask()
        assert len(llm.requests) == QUICK.num_attempts
        assert (await opened.spent()).num_calls == 0


async def test_a_failure_that_says_what_it_cost_is_paid(tmp_path: Path) -> None:
    body = json.dumps({"error": {"message": "late"}, "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
    async with scripted_desk(tmp_path, Fault.failed(500, body=body)) as (opened, _):
        reply = await opened.ask()
        assert reply.spent.num_calls == (await opened.spent()).num_calls == 2


@pytest.mark.parametrize("fault", [Fault.drop(), Fault.cut_off(GOOD), Fault.garbled(), Fault.garbled('{"choices": []}')])
async def test_an_answer_that_was_lost_counts_at_its_worst_case(tmp_path: Path, fault: Fault) -> None:
    async with scripted_desk(tmp_path, fault) as (opened, llm):
        reply = await opened.ask(max_output_tokens=500)
        assert len(llm.requests) == 2
        assert reply.spent.num_calls == (await opened.spent()).num_calls == 2
        assert 500 < reply.spent.num_output_tokens < 520


async def test_something_else_than_such_a_server_is_told(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, *[Fault.garbled("<html>")] * 9) as (opened, _):
        with pytest.raises(Retryable, match=r"something else than an OpenAI-compatible server does .* see whether its url ends in /v1"):
            await opened.ask()


async def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, f"http://127.0.0.1:{free_port()}/v1") as opened:
        with pytest.raises(Retryable, match=r"can't be reached \(ConnectError\): see whether it runs"):
            await opened.ask()
        assert (await opened.spent()).num_calls == 0
        assert opened.models.away


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.drip(GOOD, interval_s=0.05)])
async def test_the_deadline_holds_for_the_whole_answer(tmp_path: Path, fault: Fault) -> None:
    async with scripted_desk(tmp_path, *[fault] * 9, timeout_s=0.3) as (opened, llm):
        began = time.monotonic()
        with pytest.raises(Retryable, match=r"did not complete its answer within 0\.3 s: .*\[endpoints\.test\] timeout_s"):
            await opened.ask(max_output_tokens=500)
        assert 0.6 <= time.monotonic() - began < 5
        assert len(llm.requests) == QUICK.num_attempts_after_timeout == 2
        spent = await opened.spent()
        assert (spent.num_calls, spent.num_output_tokens) == (2, 1000)


async def test_a_slow_answer_within_the_deadline_is_waited_for(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, Fault.drip(GOOD, interval_s=0.001), timeout_s=10.0) as (opened, llm):
        assert (await opened.ask()).value == Count(number=4)
        assert len(llm.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "least_s"),
    [
        (lambda: "0.4", 0.4),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2.5), usegmt=True), 1.0),
    ],
)
async def test_retry_after_is_waited_for_by_all_calls(tmp_path: Path, retry_after: Callable[[], str], least_s: float) -> None:
    times: list[float] = []

    def answer(request: ChatRequest) -> str | Fault:
        times.append(time.monotonic())
        return Fault.failed(429, retry_after=retry_after()) if len(times) == 1 else GOOD

    with ScriptedLlm(answer) as llm:
        # One at a time, so the second is asked for after the answer to the first.
        async with desk(tmp_path, llm.url, max_in_flight=1) as opened:
            await asyncio.gather(opened.ask(1), opened.ask(2))
            assert len(times) == 3
            assert all(later - times[0] >= least_s for later in times[1:])


async def test_an_endless_retry_after_is_capped(tmp_path: Path) -> None:
    tuning = Tuning(backoff_s=0.01, max_retry_after_s=0.2)
    async with scripted_desk(tmp_path, Fault.failed(429, retry_after="86400"), tuning=tuning) as (opened, _):
        async with asyncio.timeout(AT_ONCE):
            assert (await opened.ask()).value == Count(number=4)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, r"the endpoint 'test' at .* refuses the request to 'scripted' \(400: planted 400\); see supports_json_schema"),
        (422, r"refuses the request to 'scripted' \(422: planted 422\)"),
        (
            404,
            r"not know the model 'scripted' or the route .*models\.toml: see \[endpoints\.test\] url and \[models\.scripted\] model",
        ),
        (307, r"refuses the request"),
    ],
)
async def test_what_never_succeeds_is_rejected_at_once_and_not_paid(tmp_path: Path, status: int, told: str) -> None:
    async with scripted_desk(tmp_path, Fault.failed(status)) as (opened, llm):
        with pytest.raises(Rejected, match=told):
            await opened.ask()
        assert len(llm.requests) == 1
        assert (await opened.spent()).num_calls == 0
        assert not opened.models.away


async def test_a_refused_key_is_told_spares_the_endpoint_and_is_read_anew(tmp_path: Path) -> None:
    key_file = tmp_path / "test.key"
    key_file.write_text("old")
    with ScriptedLlm(lambda request: GOOD, api_key="new") as llm:
        async with desk(tmp_path, llm.url, api_key_file=key_file) as opened:
            with pytest.raises(Retryable, match=r"refuses the key \(401.*models\.toml: \[endpoints\.test\] api_key_file: put a valid key"):
                await opened.ask()
            assert len(llm.bodies) == 1
            assert opened.models.away
            key_file.write_text("new")
            await ended(lambda: not opened.models.away)
            assert (await opened.ask()).value == Count(number=4)


async def test_a_key_that_is_wanted_and_not_given_is_told(tmp_path: Path) -> None:
    with ScriptedLlm(lambda request: GOOD, api_key="new") as llm:
        async with desk(tmp_path, llm.url) as opened:
            with pytest.raises(Retryable, match="it wants a key: name a file that holds it"):
                await opened.ask()


async def test_a_key_file_that_is_gone_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"api_key_file: .*none\.key can't be read"):
        async with desk(tmp_path, "http://127.0.0.1:1/v1", api_key_file=tmp_path / "none.key"):
            pass


async def test_an_endpoint_that_keeps_failing_is_left_alone_and_tried_again_by_one(tmp_path: Path) -> None:
    is_down = True
    tuning = Tuning(num_attempts=1, cool_down_s=0.3, max_cool_down_s=0.3)
    with ScriptedLlm(lambda request: Fault.failed(500) if is_down else GOOD) as llm:
        async with desk(tmp_path, llm.url, tuning=tuning) as opened:
            for seed in range(tuning.num_failures_to_open):
                assert not opened.models.away
                with pytest.raises(Retryable, match="answers 500"):
                    await opened.ask(seed)
            assert opened.models.away
            num_asked = len(llm.requests)
            with pytest.raises(Retryable, match="kept failing and is left alone; tried again in"):
                await opened.ask()
            assert len(llm.requests) == num_asked
            await ended(lambda: not opened.models.away)
            outcomes = await asyncio.gather(*(opened.ask(seed) for seed in range(20)), return_exceptions=True)
            assert all(isinstance(outcome, Retryable) for outcome in outcomes)
            assert len(llm.requests) == num_asked + 1, "one tries for all"
            is_down = False
            await ended(lambda: not opened.models.away)
            assert (await opened.ask()).value == Count(number=4)
            outcomes = await asyncio.gather(*(opened.ask(seed) for seed in range(20)))
            assert len(outcomes) == 20


async def test_refusals_do_not_make_an_endpoint_count_as_away(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, *[Fault.failed(400)] * 10) as (opened, _):
        for seed in range(10):
            with pytest.raises(Rejected):
                await opened.ask(seed)
        assert not opened.models.away


class Crowded:
    """A server that turns away whoever comes when it has enough to do."""

    def __init__(self, num_places: int) -> None:
        self.num_places = num_places
        self.num_turned_away = 0
        self._num_in = 0
        self._lock = threading.Lock()

    def __call__(self, request: ChatRequest) -> str | Fault:
        with self._lock:
            self._num_in += 1
            is_crowded = self._num_in > self.num_places
            self.num_turned_away += is_crowded
        # Who is turned away is told as late as others are answered, so that all can be counted.
        time.sleep(0.1)
        with self._lock:
            self._num_in -= 1
        return Fault.failed(429) if is_crowded else GOOD


async def test_calls_at_a_time_shrink_to_what_an_overloaded_server_takes_and_grow_again(tmp_path: Path) -> None:
    server = Crowded(4)
    tuning = Tuning(num_attempts=20, backoff_s=0.02, max_backoff_s=0.3)
    with ScriptedLlm(server) as llm:
        async with desk(tmp_path, llm.url, tuning=tuning) as opened:
            replies = await asyncio.gather(*(opened.ask(seed) for seed in range(60)))
            assert len(replies) == 60
            assert server.num_turned_away
            assert (await opened.spent()).num_calls == 60
            llm.max_in_flight_seen = 0
            await asyncio.gather(*(opened.ask(seed) for seed in range(100, 130)))
            shrunk_to, llm.max_in_flight_seen = llm.max_in_flight_seen, 0
            assert shrunk_to < tuning.first_in_flight
            server.num_places = 1000
            await asyncio.gather(*(opened.ask(seed) for seed in range(1000, 1200)))
            assert llm.max_in_flight_seen > shrunk_to


async def test_a_call_that_is_cancelled_gives_its_place_back_and_counts_at_its_worst_case(tmp_path: Path) -> None:
    with ScriptedLlm(lambda request: Fault.hang() if request.seed == 0 else GOOD) as llm:
        async with desk(tmp_path, llm.url, max_in_flight=1) as opened:
            hanging = asyncio.ensure_future(opened.ask(0, max_output_tokens=500))
            await ended(lambda: len(llm.requests) == 1)
            waiting = asyncio.ensure_future(opened.ask(1, max_output_tokens=500))
            hanging.cancel()
            async with asyncio.timeout(AT_ONCE):
                assert (await waiting).value == Count(number=4)
            assert (await opened.spent()).num_calls == 2
            assert (await opened.spent()).num_output_tokens > 500


async def test_without_the_broker_nothing_is_called(tmp_path: Path) -> None:
    async with scripted_desk(tmp_path, bucket=MemoryBucket(is_away=lambda: True)) as (opened, llm):
        with pytest.raises(Retryable, match="away"):
            await opened.ask()
        assert not llm.requests
