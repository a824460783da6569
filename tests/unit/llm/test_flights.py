"""Equal calls under way share one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.llm.flights import Flights


class Work:
    """What is made, counted; it ends when told to."""

    def __init__(self) -> None:
        self.num_begun = 0
        self.num_cancelled = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.num_begun += 1
        number = self.num_begun
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        if self.error:
            raise self.error
        return number


async def begun(
    flights: Flights[int], key: str, work: Callable[[], Awaitable[int]], num: int = 1
) -> list[asyncio.Future[tuple[int, bool]]]:
    tasks = [asyncio.ensure_future(flights.share(key, work)) for _ in range(num)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_equal_calls_share_one_and_only_the_first_made_it() -> None:
    flights, work = Flights[int](), Work()
    tasks = await begun(flights, "a", work, 3) + await begun(flights, "b", work)
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [(1, True), (1, False), (1, False), (2, True)]
    assert await flights.share("a", work) == (3, True), "afterwards a call begins anew"


async def test_it_goes_on_while_anybody_waits_and_ends_with_the_last() -> None:
    flights, work = Flights[int](), Work()
    first, second = await begun(flights, "a", work, 2)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not work.num_cancelled
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    (third,) = await begun(flights, "a", work)
    assert (work.num_cancelled, work.num_begun) == (1, 2)
    work.may_end.set()
    assert await third == (2, True)


async def test_a_failure_is_told_to_all() -> None:
    flights, work = Flights[int](), Work()
    work.error = ValueError("broken")
    tasks = await begun(flights, "a", work, 2)
    work.may_end.set()
    for task in tasks:
        with pytest.raises(ValueError, match="broken"):
            await task


async def test_closing_ends_what_is_under_way() -> None:
    flights, work = Flights[int](), Work()
    (task,) = await begun(flights, "a", work)
    await flights.close()
    assert work.num_cancelled == 1
    with pytest.raises(asyncio.CancelledError):
        await task
