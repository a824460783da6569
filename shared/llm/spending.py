"""Budgets in a key-value bucket: one ledger for each run, shared by all processes that call models."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.domain import Spend
from shared.llm.run_spending import RunSpending
from shared.llm.spending_book import BUCKET, read_book
from shared.llm.timing import Timing
from shared.ports import KeyValue
from shared.run_spec import SpendingSpec

__all__ = ["BUCKET", "Spending", "read_spending"]


async def read_spending(bucket: KeyValue, run_id: str) -> tuple[Spend, ...]:
    """What a run has spent by role, as its budget counts it: calls under way, or lost with their process, at their worst case.

    Raises:
        Retryable: the broker is away.
    """
    ledger = (await read_book(bucket, run_id))[0].ledger
    return tuple(account.counted.spend(role) for role, account in sorted(ledger.accounts.items()))


class Spending:
    """One process's way to the ledgers of all runs."""

    def __init__(
        self,
        bucket: Callable[[str], Awaitable[KeyValue]],
        limits: Callable[[str], Awaitable[SpendingSpec]],
        *,
        writer: str,
        timing: Timing,
    ) -> None:
        self._open_bucket = bucket
        self._limits = limits
        self._writer = writer
        self._timing = timing
        self._runs: dict[str, RunSpending] = {}

    async def of_run(self, run_id: str) -> RunSpending:
        """The way to a run's ledger.

        Raises:
            Retryable: the broker is away.
            NotFound: there is no such run, where `limits` says so.
        """
        standing = self._runs.get(run_id)
        if standing is None:
            limits = await self._limits(run_id)
            bucket = await self._open_bucket(BUCKET)
            standing = self._runs.setdefault(run_id, RunSpending(bucket, run_id, limits, writer=self._writer, timing=self._timing))
        return standing

    async def close(self, within_s: float) -> None:
        """Lets what is to be written be written."""
        await asyncio.gather(*(run.close(within_s) for run in self._runs.values()))
