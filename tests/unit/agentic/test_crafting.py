"""A list at work: what came of each candidate, and when the whole list is handed back."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from services.generators.agentic.agents.consultation import AgentFailed, CallRecord
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.claims import Claims
from services.generators.agentic.crafting import Batch, Crafted, Failure, Ledger, craft_all
from services.generators.agentic.tools.source_caps import SourceCaps
from shared.domain import Candidate, Spend
from shared.errors import Retryable
from shared.llm import BudgetSpent, Role
from tests.agentic_stage import assignments

CAPS = SourceCaps(2, 1)


def crafted(number: int) -> Crafted:
    return Crafted(Candidate(f"{number:064x}", assignments()[0].cell, b"", "q", (), "1", 0.0, "", json.dumps({})), {})


def paid(role: Role, cost_usd: float = 0.5) -> CallRecord:
    return CallRecord(role, "d", "m", is_cached=False, spent=Spend(role.value, 1, 10, 5, cost_usd))


async def batch_of(*steps: Callable[[Ledger], Awaitable[Crafted]]) -> Batch:
    async def craft(assignment: Assignment, claims: Claims, ledger: Ledger) -> Crafted:
        return await steps[assignment.index](ledger)

    return await craft_all(assignments(num=len(steps)), craft, CAPS, [])


async def test_failures_are_counted_by_role_and_reason_and_what_they_cost_is_told() -> None:
    async def made(ledger: Ledger) -> Crafted:
        ledger.records += [paid(Role.ASK), paid(Role.SOLVE)]
        return crafted(1)

    async def failed(ledger: Ledger) -> Crafted:
        ledger.records.append(paid(Role.ASK))
        raise AgentFailed(Role.ASK, "refusal", "no")

    async def spent(ledger: Ledger) -> Crafted:
        raise BudgetSpent("r1", Role.ASK, "10 of 10 calls")

    batch = await batch_of(failed, made, failed, spent)
    assert batch.crafted == (crafted(1),)
    assert batch.failures[0] == Failure("ask", "refusal", 2, "no")
    assert [(one.role, one.reason, one.count) for one in batch.failures[1:]] == [("ask", "budget_spent", 1)]
    assert batch.is_budget_spent
    assert batch.spent == (Spend("ask", 3, 30, 15, 1.5), Spend("solve", 1, 10, 5, 0.5))


async def test_the_list_is_handed_back_once_the_calls_under_way_have_come_home() -> None:
    finished = []

    async def away(ledger: Ledger) -> Crafted:
        raise Retryable("the endpoint is away")

    async def under_way(ledger: Ledger) -> Crafted:
        await asyncio.sleep(0.05)
        finished.append(True)
        return crafted(1)

    with pytest.raises(Retryable, match="away"):
        await batch_of(away, under_way)
    assert finished == [True]


async def test_what_an_attempt_paid_is_told_by_the_one_that_succeeds() -> None:
    is_away, paid_so_far = [True], list[Spend]()

    async def craft(assignment: Assignment, claims: Claims, ledger: Ledger) -> Crafted:
        if is_away[0]:
            ledger.records.append(paid(Role.ASK))
            raise Retryable("the endpoint is away")
        return crafted(assignment.index)

    with pytest.raises(Retryable):
        await craft_all(assignments(num=2), craft, CAPS, paid_so_far)
    is_away[0] = False
    batch = await craft_all(assignments(num=2), craft, CAPS, paid_so_far)
    assert batch.spent == (Spend("ask", 2, 20, 10, 1.0),)


async def test_a_bug_is_no_failure_of_an_agent_and_ends_the_others() -> None:
    ended = []

    async def broken(ledger: Ledger) -> Crafted:
        raise ZeroDivisionError

    async def under_way(ledger: Ledger) -> Crafted:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)
        return crafted(1)

    with pytest.raises(ZeroDivisionError):
        await batch_of(broken, under_way)
    assert ended == [True]


async def test_equal_candidates_are_one() -> None:
    async def made(ledger: Ledger) -> Crafted:
        return crafted(1)

    batch = await batch_of(made, made, made)
    assert batch.crafted == (crafted(1),)
    assert batch.failures == (Failure("ask", "double", 2, ""),)


async def test_a_candidate_that_fails_before_its_claim_does_not_hold_up_the_others() -> None:
    async def craft(assignment: Assignment, claims: Claims, ledger: Ledger) -> Crafted:
        if assignment.index == 0:
            raise AgentFailed(Role.BLUEPRINT, "schema")
        assert await claims.first_free(assignment.index, []) is None
        return crafted(assignment.index)

    async with asyncio.timeout(5):
        batch = await craft_all(assignments(num=3), craft, CAPS, [])
    assert len(batch.crafted) == 2
