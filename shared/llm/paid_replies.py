"""Where a reply comes from: an equal call under way, the store, or an endpoint; only the last one is paid for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.domain import Spend
from shared.errors import BadConfiguration
from shared.llm import budget
from shared.llm.budget import Amount
from shared.llm.endpoint import EndpointLink
from shared.llm.exchange import Exchange, Order
from shared.llm.flights import Flights
from shared.llm.models_file import ModelChoice, ModelsConfig
from shared.llm.reply_cache import Kept, ReplyCache
from shared.llm.roles import Role
from shared.llm.run_spending import RunSpending
from shared.llm.spending import Spending
from shared.llm.timing import Timing
from shared.llm.tuning import Tuning
from shared.llm.wire_replies import Answer


@dataclass(frozen=True, slots=True)
class PaidReply:
    """A reply, and what it cost whoever gets it."""

    kept: Kept
    is_cached: bool
    spent: Spend


class Till:
    """Gets the answers that one reply takes, and adds up what they cost."""

    def __init__(self, exchange: Exchange, spending: RunSpending) -> None:
        self._exchange = exchange
        self._spending = spending
        self.paid = budget.NOTHING

    async def get(self, order: Order[Answer]) -> Answer:
        """One answer; raises as `Exchange.get` does."""
        answer, paid = await self._exchange.get(order, self._spending)
        self.paid += paid
        return answer


class PaidReplies:
    """All endpoints of a models file behind one cache and one purse."""

    def __init__(
        self,
        config: ModelsConfig,
        links: dict[str, EndpointLink],
        spending: Spending,
        cache: ReplyCache,
        *,
        tuning: Tuning,
        timing: Timing,
    ) -> None:
        self.config = config
        self.tuning = tuning
        self._links = links
        self._spending = spending
        self._cache = cache
        names = {choice.endpoint_name for choices in config.roles.values() for choice in choices}
        self._needed = [link for name, link in links.items() if name in names]
        self._exchanges = {name: Exchange(link, tuning, timing) for name, link in links.items()}
        self._flights: Flights[tuple[Kept, Amount | None]] = Flights()

    @property
    def away(self) -> str:
        """See `LanguageModels`."""
        return next((link.away for link in self._needed if link.away), "")

    async def knock(self) -> None:
        """See `LanguageModels`."""
        await asyncio.gather(*(link.knock() for link in self._needed))

    def choice(self, role: Role, model: str | None = None) -> ModelChoice:
        """The model of a role; of several the first, unless one is named.

        Raises:
            BadConfiguration: there is none, or none of that name.
        """
        choices = self.config.models_for(role)
        if not choices:
            raise BadConfiguration(f"{self.config.path}: [roles] {role.value}: no model is named; name one of [models]")
        if model is None:
            return choices[0]
        for choice in choices:
            if choice.model == model:
                return choice
        named = ", ".join(choice.model for choice in choices)
        raise BadConfiguration(f"{self.config.path}: [roles] {role.value}: {model!r} is not among its models ({named})")

    async def reply(
        self,
        digest: str,
        *,
        role: Role,
        run_id: str,
        choice: ModelChoice,
        fetch: Callable[[Till], Awaitable[Kept]],
        is_usable: Callable[[Kept], bool] = lambda kept: True,
    ) -> PaidReply:
        """The reply of a digest.

        Args:
            digest: of all that the reply follows from.
            role: what it is asked for.
            run_id: whose budget pays.
            choice: who is asked.
            fetch: gets a checked reply from the endpoint.
            is_usable: whether a reply that was kept still passes the checks.

        Raises:
            What `fetch` raises, and Retryable where the store is away.
        """

        async def made() -> tuple[Kept, Amount | None]:
            standing = await self._cache.find(digest)
            if standing is not None and is_usable(standing):
                return standing, None
            till = Till(self._exchanges[choice.endpoint_name], await self._spending.of_run(run_id))
            kept = await fetch(till)
            await self._cache.keep(digest, kept)
            return kept, till.paid

        # Two runs, or two roles, that ask the same at the same time have budgets of their own.
        (kept, paid), is_first = await self._flights.share((run_id, role, digest), made)
        if paid is None or not is_first:
            return PaidReply(kept, True, budget.NOTHING.spend(role.value))
        return PaidReply(kept, False, paid.spend(role.value))

    async def close(self) -> None:
        """Ends what is under way, and writes down what it cost."""
        await self._flights.close()
        await self._spending.close(self.tuning.settle_wait_s)
