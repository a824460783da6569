"""A whole list of candidates, made at once: what came of each, what could not be made and why, and what it cost."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.generators.agentic.agents.consultation import AgentFailed, CallRecord
from services.generators.agentic.assignment import Assignment
from services.generators.agentic.claims import Claims
from services.generators.agentic.tools.source_caps import SourceCaps
from shared.cancellation import end
from shared.domain import ArtifactRef, Candidate, Spend
from shared.errors import Retryable
from shared.llm import BudgetSpent

BUDGET_SPENT = "budget_spent"


@dataclass(frozen=True, slots=True)
class Crafted:
    """A candidate, and what belongs to it in the store."""

    candidate: Candidate
    sources: Mapping[str, ArtifactRef]
    """Relative path in the lease's manifest to stored file."""


@dataclass(slots=True)
class Ledger:
    """One candidate's calls, known even where no candidate came of them."""

    records: list[CallRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why candidates were not made."""

    role: str
    reason: str
    count: int
    detail: str
    """Of the first of them."""

    @property
    def is_budget_spent(self) -> bool:
        """Whether calls were refused for want of budget."""
        return self.reason == BUDGET_SPENT


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of a list."""

    crafted: tuple[Crafted, ...]
    failures: tuple[Failure, ...]
    """The most frequent first."""
    spent: tuple[Spend, ...]
    """What was really paid, by role."""

    @property
    def is_budget_spent(self) -> bool:
        """Whether calls were refused for want of budget."""
        return any(failure.is_budget_spent for failure in self.failures)


Craft = Callable[[Assignment, Claims, Ledger], Awaitable[Crafted]]
"""Makes one candidate.

Raises AgentFailed where there will be none, BudgetSpent, or Retryable.
"""


@dataclass(frozen=True, slots=True)
class _Away:
    error: Retryable


async def craft_all(assignments: Sequence[Assignment], craft: Craft, caps: SourceCaps, paid: list[Spend]) -> Batch:
    """Makes the candidates of one list at the same time.

    What was paid is added to `paid`, however it ends; what earlier attempts paid may stand there already.

    Where an endpoint, the store or the broker is away, the calls under way are waited for nonetheless: their replies are paid, and kept for
    the next attempt.

    Raises:
        Retryable: something is away; the next attempt finds what was paid.
    """
    claims = Claims(len(assignments), caps)
    ledgers = [Ledger() for _ in assignments]
    tasks = [
        asyncio.create_task(_outcome(assignment, claims, ledger, craft)) for assignment, ledger in zip(assignments, ledgers, strict=True)
    ]
    try:
        outcomes = await asyncio.gather(*tasks)
    finally:
        await end(tasks)
        paid += [record.spent for ledger in ledgers for record in ledger.records]
    for outcome in outcomes:
        if isinstance(outcome, _Away):
            raise outcome.error
    crafted, doubles = _distinct([outcome for outcome in outcomes if isinstance(outcome, Crafted)])
    failed = [outcome for outcome in outcomes if isinstance(outcome, tuple)] + [("ask", "double", "")] * doubles
    return Batch(crafted, _counted(failed), spent_by_role(paid))


async def _outcome(assignment: Assignment, claims: Claims, ledger: Ledger, craft: Craft) -> Crafted | _Away | tuple[str, str, str]:
    try:
        return await craft(assignment, claims, ledger)
    except AgentFailed as error:
        return error.role.value, error.reason, error.detail
    except BudgetSpent as error:
        return error.role.value, BUDGET_SPENT, str(error)
    except Retryable as error:
        return _Away(error)
    finally:
        claims.pass_on(assignment.index)


def _distinct(crafted: Sequence[Crafted]) -> tuple[tuple[Crafted, ...], int]:
    """The candidates without those that an earlier one equals, and how many those were."""
    by_id: dict[str, Crafted] = {}
    for one in crafted:
        by_id.setdefault(one.candidate.candidate_id, one)
    return tuple(by_id.values()), len(crafted) - len(by_id)


def _counted(failed: Sequence[tuple[str, str, str]]) -> tuple[Failure, ...]:
    details: dict[tuple[str, str], str] = {}
    for role, reason, detail in failed:
        details.setdefault((role, reason), detail)
    counts = Counter((role, reason) for role, reason, _ in failed)
    return tuple(Failure(*what, count, details[what]) for what, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def spent_by_role(spent: Iterable[Spend]) -> tuple[Spend, ...]:
    """Sums of what was paid, by role in alphabetical order; roles that nothing was paid for are left out."""
    sums: dict[str, Spend] = {}
    for one in spent:
        before = sums.get(one.role, Spend(one.role, 0, 0, 0, 0.0))
        sums[one.role] = Spend(
            one.role,
            before.num_calls + one.num_calls,
            before.num_input_tokens + one.num_input_tokens,
            before.num_output_tokens + one.num_output_tokens,
            before.cost_usd + one.cost_usd,
        )
    return tuple(sums[role] for role in sorted(sums) if sums[role].num_calls or sums[role].cost_usd)
