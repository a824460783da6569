"""One answer from an endpoint, paid: reserved before it is asked for, tried again within bounds, settled at what it cost."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic

import openai
from pydantic import ValidationError

from shared.llm import budget
from shared.llm.budget import Amount
from shared.llm.chat_body import cost
from shared.llm.endpoint import EndpointLink
from shared.llm.failures import Failure, Payment, Place, lost, refused, timed_out, unreadable
from shared.llm.models_file import ModelChoice
from shared.llm.roles import Role
from shared.llm.run_spending import RunSpending
from shared.llm.timing import Timing
from shared.llm.tuning import Tuning
from shared.llm.waits import backoff_s
from shared.llm.wire_replies import Answer, Usage
from shared.telemetry import log


@dataclass(frozen=True, slots=True)
class Order(Generic[Answer]):
    """What to get from whom, and the most that it can cost."""

    role: Role
    choice: ModelChoice
    worst: Amount
    send: Callable[[openai.AsyncOpenAI], Awaitable[bytes]]
    """Makes the request and returns the body of a success."""
    answer: type[Answer]
    """What the body must be."""


class Exchange:
    """Gets answers from one endpoint."""

    def __init__(self, link: EndpointLink, tuning: Tuning, timing: Timing) -> None:
        self._link = link
        self._tuning = tuning
        self._timing = timing

    async def get(self, order: Order[Answer], spending: RunSpending) -> tuple[Answer, Amount]:
        """An answer, and what it cost, attempts that failed included.

        Raises:
            BudgetSpent: the next attempt would break a limit; nothing was called for it.
            Retryable: the endpoint stays away, or refuses the key.
            Rejected: the endpoint refuses the request.
        """
        place = self._link.place(order.choice)
        total = budget.NOTHING
        num_timeouts = 0
        attempt = 0
        while True:
            attempt += 1
            outcome, paid = await self._attempt(order, spending, place)
            total += paid
            if not isinstance(outcome, Failure):
                return outcome, total
            num_timeouts += outcome.is_timeout
            is_last = attempt >= self._tuning.num_attempts or num_timeouts >= self._tuning.num_attempts_after_timeout
            if is_last or outcome.is_final or outcome.is_key_refused:
                raise outcome.error()
            log.debug("asking again", endpoint=place.endpoint, role=order.role.value, attempt=attempt, reason=outcome.text)
            await self._timing.sleep(
                backoff_s(attempt, self._timing.rng, first_s=self._tuning.backoff_s, most_s=self._tuning.max_backoff_s)
            )

    async def _attempt(self, order: Order[Answer], spending: RunSpending, place: Place) -> tuple[Answer | Failure, Amount]:
        sent_at = await self._link.enter()
        try:
            await spending.reserve(order.role, order.worst)
        except BaseException:
            self._link.given_up()
            raise
        try:
            outcome = await self._sent(order, place)
        except BaseException:
            # Nobody waits for the answer any more, but it may have been given.
            spending.settle(order.role, order.worst, order.worst)
            self._link.given_up()
            raise
        if isinstance(outcome, Failure):
            self._link.failed(outcome, sent_at=sent_at)
            paid = _paid_for_failure(outcome, order)
        else:
            self._link.answered()
            paid = _paid(outcome.usage, order)
        # Written for sure; waited for only so that whoever looks after the answer finds it.
        await asyncio.wait({spending.settle(order.role, order.worst, paid)}, timeout=self._tuning.settle_wait_s)
        return outcome, paid

    async def _sent(self, order: Order[Answer], place: Place) -> Answer | Failure:
        timeout_s = self._link.config.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                body = await order.send(self._link.client)
            return order.answer.model_validate_json(body)
        except TimeoutError:
            return timed_out(place, timeout_s)
        except openai.APIStatusError as error:
            return refused(place, error, now=datetime.now(UTC), max_retry_after_s=self._tuning.max_retry_after_s)
        except openai.APIConnectionError as error:
            return lost(place, error, timeout_s)
        except ValidationError as error:
            return unreadable(place, error.errors()[0]["msg"])


def _paid_for_failure(failure: Failure, order: Order[Answer]) -> Amount:
    if failure.usage is not None:
        return _paid(failure.usage, order)
    return order.worst if failure.payment is Payment.UNKNOWN else budget.NOTHING


def _paid(usage: Usage | None, order: Order[Answer]) -> Amount:
    """What an answer cost; what the endpoint does not say counts at its worst case."""
    num_input_tokens = usage.num_input_tokens if usage else None
    num_output_tokens = usage.num_output_tokens if usage else None
    paid = cost(
        order.choice,
        order.worst.num_input_tokens if num_input_tokens is None else num_input_tokens,
        order.worst.num_output_tokens if num_output_tokens is None else num_output_tokens,
    )
    if paid.num_tokens > order.worst.num_tokens or paid.cost_pico_usd > order.worst.cost_pico_usd:
        log.warning(
            "a call cost more than its worst case: raise input_tokens_per_image, or see whether the endpoint holds to the output limit",
            model=order.choice.name,
            num_tokens=paid.num_tokens,
            num_tokens_reserved=order.worst.num_tokens,
        )
    return paid
