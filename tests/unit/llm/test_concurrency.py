"""How many requests an endpoint gets at a time."""

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from shared.llm.concurrency import AdaptiveLimit, Gate


def test_it_grows_by_successes_and_halves_at_an_overload() -> None:
    limit = AdaptiveLimit(first=4, most=64)
    for _ in range(8):
        limit.succeeded()
    assert limit.value == 12
    assert limit.overloaded(sent_at=0.0, now=1.0)
    assert limit.value == 6
    for _ in range(6):
        limit.succeeded()
    assert limit.value == 6, "from then on by one per round"
    limit.succeeded()
    assert limit.value == 7


def test_one_burst_halves_it_once() -> None:
    limit = AdaptiveLimit(first=32, most=64)
    assert [limit.overloaded(sent_at=0.0, now=1.0 + number) for number in range(5)] == [True, False, False, False, False]
    assert limit.value == 16
    assert limit.overloaded(sent_at=2.0, now=3.0)
    assert limit.value == 8


@given(first=st.integers(1, 100), most=st.integers(1, 100), news=st.lists(st.booleans(), max_size=300))
def test_it_stays_between_one_and_the_most(first: int, most: int, news: list[bool]) -> None:
    limit = AdaptiveLimit(first, most)
    for now, is_success in enumerate(news):
        if is_success:
            limit.succeeded()
        else:
            limit.overloaded(sent_at=now, now=now)
        assert 1 <= limit.value <= most


async def test_the_gate_lets_in_as_many_as_the_limit_says_in_order() -> None:
    limit = AdaptiveLimit(first=2, most=2)
    gate = Gate(limit)
    entered: list[int] = []

    async def enter(number: int) -> None:
        await gate.enter()
        entered.append(number)

    tasks = [asyncio.ensure_future(enter(number)) for number in range(5)]
    await _steps()
    assert entered == [0, 1]
    gate.leave()
    await _steps()
    assert entered == [0, 1, 2]
    limit.overloaded(sent_at=0.0, now=0.0)
    gate.leave()
    await _steps()
    assert entered == [0, 1, 2], "the limit is one by now, and one is in"
    gate.leave()
    await _steps()
    assert entered == [0, 1, 2, 3]
    gate.leave()
    await asyncio.gather(*tasks)
    gate.leave()
    assert gate.num_in_flight == 0


@given(seed=st.integers(0, 2**32))
def test_whoever_is_cancelled_takes_no_place_with_him(seed: int) -> None:
    asyncio.run(_cancel_at_random(Random(seed)))


async def _cancel_at_random(rng: Random) -> None:
    gate = Gate(AdaptiveLimit(first=3, most=3))
    most_seen = 0

    async def visit() -> None:
        nonlocal most_seen
        await gate.enter()
        try:
            most_seen = max(most_seen, gate.num_in_flight)
            await _steps(rng.randint(0, 3))
        finally:
            gate.leave()

    tasks = [asyncio.ensure_future(visit()) for _ in range(20)]
    for task in rng.sample(tasks, 12):
        await _steps(rng.randint(0, 2))
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert gate.num_in_flight == 0
    assert most_seen <= 3


async def _steps(num: int = 10) -> None:
    for _ in range(num):
        await asyncio.sleep(0)
