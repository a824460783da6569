"""The ledger of a run under many writers, lost answers, late writes and cancelled callers."""

import asyncio
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Rejected, Retryable
from shared.llm import budget
from shared.llm.budget import Amount, Ledger
from shared.llm.port import BudgetSpent
from shared.llm.roles import Role
from shared.llm.run_spending import RunSpending
from shared.llm.spending import Spending, read_spending
from shared.llm.spending_book import book_of
from shared.llm.timing import Timing
from shared.run_spec import RoleLimit, SpendingSpec
from tests.unit.llm.memory_bucket import FINE, LATE, LOST_ANSWER, LOST_REQUEST, MemoryBucket

WORST = Amount(1, 100, 50, 1000)


async def at_once(wait_s: float) -> None:
    await asyncio.sleep(0)


def writer(bucket: MemoryBucket, limits: SpendingSpec, name: str = "w", *, sleep=at_once) -> RunSpending:
    return RunSpending(bucket, "r1", limits, writer=name, timing=Timing(time.monotonic, Random(1), sleep))


def ledger_of(value: bytes) -> Ledger:
    return book_of(value, "r1").ledger


async def ledger(bucket: MemoryBucket) -> Ledger:
    entry = await bucket.get("r1")
    return ledger_of(entry.value) if entry else Ledger()


async def test_a_reservation_counts_until_it_is_settled_at_what_the_call_cost() -> None:
    bucket = MemoryBucket()
    run = writer(bucket, SpendingSpec())
    await run.reserve(Role.ASK, WORST)
    assert (await ledger(bucket)).accounts["ask"].reserved == WORST
    await run.settle(Role.ASK, WORST, Amount(1, 7, 3, 20))
    assert (await ledger(bucket)).accounts["ask"] == budget.Account(settled=Amount(1, 7, 3, 20))
    assert await read_spending(bucket, "r1") == (Amount(1, 7, 3, 20).spend("ask"),)


async def test_reservations_that_come_together_are_written_together() -> None:
    bucket = MemoryBucket()
    run = writer(bucket, SpendingSpec())
    await asyncio.gather(*(run.reserve(Role.ASK, WORST) for _ in range(100)))
    assert (await ledger(bucket)).counted.num_calls == 100
    assert bucket.num_writes <= 2


async def test_nothing_is_called_beyond_the_limit_of_the_run_nor_of_the_role() -> None:
    limits = SpendingSpec(max_calls=5, role_limits=(RoleLimit("solve", max_calls=2),))
    run = writer(MemoryBucket(), limits)
    await run.reserve(Role.SOLVE, WORST)
    await run.settle(Role.SOLVE, WORST, WORST)
    await run.reserve(Role.SOLVE, WORST)
    await run.settle(Role.SOLVE, WORST, WORST)
    with pytest.raises(BudgetSpent, match="solve has made or begun 2 of 2 calls"):
        await run.reserve(Role.SOLVE, WORST)
    for _ in range(3):
        await run.reserve(Role.ASK, WORST)
        await run.settle(Role.ASK, WORST, WORST)
    with pytest.raises(BudgetSpent, match="the run has made or begun 5 of 5 calls"):
        await run.reserve(Role.ASK, WORST)


async def test_a_call_waits_where_only_calls_under_way_stand_in_its_way() -> None:
    run = writer(MemoryBucket(), SpendingSpec(max_tokens=200))
    await run.reserve(Role.ASK, WORST)
    second = asyncio.ensure_future(run.reserve(Role.ASK, WORST))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not second.done()
    await run.settle(Role.ASK, WORST, Amount(1, 10, 10, 0))
    await asyncio.wait_for(second, 5)
    third = asyncio.ensure_future(run.reserve(Role.ASK, WORST))
    await run.settle(Role.ASK, WORST, WORST)
    with pytest.raises(BudgetSpent, match="170 of 200 tokens"):
        await asyncio.wait_for(third, 5)


async def test_what_another_process_holds_is_spent() -> None:
    bucket = MemoryBucket()
    limits = SpendingSpec(max_calls=1)
    await writer(bucket, limits, "killed").reserve(Role.ASK, WORST)
    with pytest.raises(BudgetSpent):
        await asyncio.wait_for(writer(bucket, limits, "living").reserve(Role.ASK, WORST), 5)


async def test_a_cancelled_reservation_is_given_back() -> None:
    bucket = MemoryBucket()
    run = writer(bucket, SpendingSpec(max_calls=1))
    for num_steps in range(12):
        task = asyncio.ensure_future(run.reserve(Role.ASK, WORST))
        for _ in range(num_steps):
            await asyncio.sleep(0)
        was_granted = task.done()
        task.cancel()
        if was_granted:
            await run.settle(Role.ASK, WORST, budget.NOTHING)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (await ledger(bucket)).counted == budget.NOTHING, f"cancelled after {num_steps} steps"


async def test_while_the_broker_is_away_reservations_fail_and_endings_are_written_later() -> None:
    is_away = False
    bucket = MemoryBucket(is_away=lambda: is_away)
    run = writer(bucket, SpendingSpec())
    await run.reserve(Role.ASK, WORST)
    is_away = True
    written = run.settle(Role.ASK, WORST, Amount(1, 1, 1, 1))
    with pytest.raises(Retryable):
        await run.reserve(Role.ASK, WORST)
    assert not written.done()
    is_away = False
    await asyncio.wait_for(written, 5)
    assert (await ledger(bucket)).counted == Amount(1, 1, 1, 1)


@pytest.mark.parametrize("mishap", [LOST_ANSWER, LATE])
async def test_a_round_whose_answer_was_lost_counts_once(mishap: str) -> None:
    mishaps: list[str] = []
    bucket = MemoryBucket(lambda: mishaps.pop() if mishaps else FINE)
    run = writer(bucket, SpendingSpec())
    await run.reserve(Role.ASK, WORST)
    await run.reserve(Role.ASK, WORST)
    mishaps.append(mishap)
    written = run.settle(Role.ASK, WORST, Amount(1, 1, 1, 1))
    for _ in range(2):
        await asyncio.sleep(0)
    bucket.arrive()
    await asyncio.wait_for(written, 5)
    assert (await ledger(bucket)).accounts["ask"] == budget.Account(settled=Amount(1, 1, 1, 1), reserved=WORST)


async def test_a_reservation_that_failed_but_was_written_is_given_back() -> None:
    mishaps = [LOST_ANSWER]
    bucket = MemoryBucket(lambda: mishaps.pop() if mishaps else FINE)
    run = writer(bucket, SpendingSpec())
    with pytest.raises(Retryable):
        await run.reserve(Role.ASK, WORST)
    await run.close(5)
    assert (await ledger(bucket)).counted == budget.NOTHING


async def test_a_ledger_that_can_not_be_read_is_told() -> None:
    bucket = MemoryBucket()
    await bucket.put("r1", b"{")
    with pytest.raises(Rejected, match="bucket spiral_spending: the entry r1 is no ledger"):
        await writer(bucket, SpendingSpec()).reserve(Role.ASK, WORST)


async def test_the_limits_of_a_run_are_asked_for_once() -> None:
    asked: list[str] = []

    async def limits(run_id: str) -> SpendingSpec:
        asked.append(run_id)
        return SpendingSpec(max_calls=1)

    async def bucket(name: str) -> MemoryBucket:
        return MemoryBucket()

    spending = Spending(bucket, limits, writer="w", timing=Timing(time.monotonic, Random(1), at_once))
    assert await spending.of_run("r1") is await spending.of_run("r1")
    await spending.close(1)
    assert asked == ["r1"]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), num_writers=st.integers(1, 4), is_faulty=st.booleans(), max_calls=st.integers(1, 60))
def test_whatever_happens_the_budget_holds_and_counts_everything(seed: int, num_writers: int, is_faulty: bool, max_calls: int) -> None:
    rng = Random(seed)
    mishaps = [FINE, FINE, FINE, FINE, LOST_REQUEST, LOST_ANSWER, LATE] if is_faulty else [FINE]
    limits = SpendingSpec(max_calls=max_calls, max_tokens=3000, role_limits=(RoleLimit("ask", max_tokens=2000),))
    asyncio.run(_play(rng, mishaps, limits, num_writers))


async def _play(rng: Random, mishaps: list[str], limits: SpendingSpec, num_writers: int) -> None:
    bucket = MemoryBucket(lambda: rng.choice(mishaps))
    made: list[tuple[Role, Amount]] = []
    """What was called for real, with its price."""

    async def call(run: RunSpending) -> None:
        role = rng.choice((Role.ASK, Role.SOLVE))
        worst = Amount(1, rng.randint(10, 100), rng.randint(10, 50), 0)
        cost = rng.choice((budget.NOTHING, Amount(1, rng.randint(0, worst.num_input_tokens), rng.randint(0, 10), 0)))
        for _ in range(rng.randint(0, 8)):
            await asyncio.sleep(0)
        try:
            await run.reserve(role, worst)
        except (BudgetSpent, Retryable):
            return
        paid = worst
        try:
            for _ in range(rng.randint(0, 8)):
                await asyncio.sleep(0)
            paid = cost
        finally:
            made.append((role, paid))
            run.settle(role, worst, paid)

    runs = [writer(bucket, limits, f"w{number}") for number in range(num_writers)]
    calls = [asyncio.ensure_future(call(rng.choice(runs))) for _ in range(60)]
    for each in rng.sample(calls, 10):
        for _ in range(rng.randint(0, 6)):
            await asyncio.sleep(0)
        if not each.done():
            each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    bucket.mishap = lambda: FINE
    await asyncio.gather(*(run.close(30) for run in runs))

    for value in bucket.history:
        at_the_time = ledger_of(value)
        assert at_the_time.counted.num_calls <= limits.max_calls
        assert at_the_time.counted.num_tokens <= limits.max_tokens
        assert at_the_time.account("ask").counted.num_tokens <= 2000
    final = await ledger(bucket)
    for role in (Role.ASK, Role.SOLVE):
        paid = sum((cost for of, cost in made if of is role), budget.NOTHING)
        assert final.account(role) == budget.Account(settled=paid)
