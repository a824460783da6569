"""One process's way to the ledger of one run, which other processes change too: by compare-and-set.

Reservations that come together are written in one round, so a hundred calls at once cost a few round trips, not a hundred contended ones.
A round whose answer was lost is told by its number, which the ledger keeps per writer: it counts once, whatever happened.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from shared.errors import Retryable, SpiralError
from shared.llm import budget
from shared.llm.budget import Amount, Ledger
from shared.llm.port import BudgetSpent
from shared.llm.roles import Role
from shared.llm.spending_book import Book, book_bytes, read_book
from shared.llm.timing import Timing
from shared.llm.waits import backoff_s
from shared.ports import Conflict, KeyValue
from shared.run_spec import SpendingSpec
from shared.telemetry import log

_CONFLICT_PAUSE_S, _MAX_CONFLICT_PAUSE_S = 0.002, 0.1
_AWAY_PAUSE_S, _MAX_AWAY_PAUSE_S = 0.2, 5.0


@dataclass(eq=False, slots=True)
class _Asked:
    role: Role
    worst: Amount
    granted: asyncio.Future[None]


@dataclass(eq=False, slots=True)
class _Ended:
    role: Role
    worst: Amount
    cost: Amount
    written: asyncio.Future[None]


@dataclass(eq=False, slots=True)
class _Round:
    number: int
    granted: list[_Asked]
    ended: list[_Ended]


class RunSpending:
    """One process's way to the ledger of one run."""

    def __init__(self, bucket: KeyValue, run_id: str, limits: SpendingSpec, *, writer: str, timing: Timing) -> None:
        """Takes the bucket, the run and its limits, and a name that no other process has or had."""
        self._bucket = bucket
        self._run_id = run_id
        self._limits = limits
        self._writer = writer
        self._timing = timing
        self._asked: list[_Asked] = []
        self._ended: list[_Ended] = []
        self._has_news = False
        self._num_held = 0
        self._number = 0
        self._uncertain: list[_Round] = []
        self._work: asyncio.Task[None] | None = None

    async def reserve(self, role: Role, worst: Amount) -> None:
        """Sets a call's worst case aside. Where only calls under way in this process stand in its way, it waits for what they cost.

        Raises:
            BudgetSpent: it would break a limit.
            Retryable: the broker is away.
            Rejected: the ledger can't be read.
        """
        asked = _Asked(role, worst, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._wake()
        try:
            await asked.granted
        except asyncio.CancelledError:
            if not asked.granted.cancelled() and asked.granted.done() and asked.granted.exception() is None:
                # It was granted and cancelled in the same step of the loop.
                self.settle(role, worst, budget.NOTHING)
            raise

    def settle(self, role: Role, worst: Amount, cost: Amount) -> asyncio.Future[None]:
        """Ends a reservation at what the call cost; `budget.NOTHING` gives it back. It is written for sure unless the process dies.

        Returns:
            What is done once the ledger holds it.
        """
        ended = _Ended(role, worst, cost, asyncio.get_running_loop().create_future())
        self._ended.append(ended)
        self._wake()
        return ended.written

    async def close(self, within_s: float) -> None:
        """Lets what is to be written be written; what is not by then stays at its worst case."""
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=within_s)
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work

    def _wake(self) -> None:
        self._has_news = True
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._write())

    async def _write(self) -> None:
        num_failures = 0
        try:
            while self._has_news or self._ended or self._uncertain:
                self._has_news = False
                try:
                    await self._round()
                    num_failures = 0
                except Retryable as error:
                    self._refuse_all(error)
                    num_failures += 1
                    await self._pause(num_failures, _AWAY_PAUSE_S, _MAX_AWAY_PAUSE_S)
                except SpiralError as error:
                    self._refuse_all(error)
                    self._drop_ended(error)
        except BaseException as error:
            self._refuse_all(Retryable(f"the ledger of run {self._run_id} is written no longer: {error!r}"))
            raise

    async def _round(self) -> None:
        num_conflicts = 0
        while True:
            book, revision = await read_book(self._bucket, self._run_id)
            self._resolve(book)
            ledger, round_, refused = self._decide(book.ledger)
            for asked, reason in refused:
                self._asked.remove(asked)
                asked.granted.set_exception(BudgetSpent(self._run_id, asked.role, reason))
            if not (round_.granted or round_.ended or self._uncertain):
                return
            self._number = round_.number
            self._uncertain.append(round_)
            value = book_bytes(book.after(ledger, self._writer, round_.number))
            try:
                await (self._bucket.update(self._run_id, value, revision) if revision else self._bucket.create(self._run_id, value))
            except Conflict:
                self._uncertain.remove(round_)
                num_conflicts += 1
                await self._pause(num_conflicts, _CONFLICT_PAUSE_S, _MAX_CONFLICT_PAUSE_S)
                continue
            # Rounds that were compared with an earlier revision can't come to hold any more.
            self._uncertain.clear()
            self._holds(round_)
            return

    def _decide(self, ledger: Ledger) -> tuple[Ledger, _Round, list[tuple[_Asked, str]]]:
        """What a round would write: endings first, for they make room."""
        self._asked = [asked for asked in self._asked if not asked.granted.done()]
        ended = list(self._ended)
        for each in ended:
            ledger = budget.settle(ledger, each.role.value, each.worst, each.cost)
        granted: list[_Asked] = []
        refused: list[tuple[_Asked, str]] = []
        for asked in self._asked:
            reason = budget.excess(ledger, asked.role.value, asked.worst, self._limits)
            if reason is None:
                ledger = budget.reserve(ledger, asked.role.value, asked.worst)
                granted.append(asked)
            elif self._num_held - len(ended) + len(granted) == 0:
                refused.append((asked, reason))
            elif lasting := budget.lasting_excess(ledger, asked.role.value, asked.worst, self._limits):
                refused.append((asked, lasting))
        return ledger, _Round(self._number + 1, granted, ended), refused

    def _resolve(self, book: Book) -> None:
        """Finds out what became of rounds whose answer was lost: at most one of them holds."""
        held = [round_ for round_ in self._uncertain if round_.number == book.rounds.get(self._writer)]
        for round_ in held:
            self._uncertain.remove(round_)
            self._holds(round_)

    def _holds(self, round_: _Round) -> None:
        for each in round_.ended:
            self._num_held -= 1
            self._ended.remove(each)
            if not each.written.done():
                each.written.set_result(None)
        for asked in round_.granted:
            self._num_held += 1
            if asked in self._asked:
                self._asked.remove(asked)
            if asked.granted.done():
                # Nobody waits for it any more.
                self.settle(asked.role, asked.worst, budget.NOTHING)
            else:
                asked.granted.set_result(None)

    async def _pause(self, number: int, first_s: float, most_s: float) -> None:
        await self._timing.sleep(backoff_s(number, self._timing.rng, first_s=first_s, most_s=most_s))

    def _refuse_all(self, error: SpiralError) -> None:
        for asked in self._asked:
            if not asked.granted.done():
                asked.granted.set_exception(error)
        self._asked.clear()

    def _drop_ended(self, error: SpiralError) -> None:
        log.error("what calls cost can't be written down, so their worst case counts", run_id=self._run_id, reason=str(error))
        for each in self._ended:
            if not each.written.done():
                each.written.set_result(None)
        self._num_held -= len(self._ended)
        self._ended.clear()
        self._uncertain.clear()
