"""The arithmetic of budgets: limits hold under every interleaving, and nothing is lost or counted twice."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.domain import RoleLimit
from shared.llm import budget
from shared.llm.budget import Amount, Ledger
from shared.run_spec import SpendingSpec

ROLES = ("ask", "solve", "verify")
amounts = st.builds(Amount, st.just(1), st.integers(0, 500), st.integers(0, 500), st.integers(0, 10**12))
limits = st.builds(
    SpendingSpec,
    max_calls=st.integers(0, 20),
    max_tokens=st.integers(0, 5000),
    max_cost_usd=st.floats(0, 5, allow_nan=False),
    role_limits=st.lists(
        st.builds(
            RoleLimit,
            role=st.sampled_from(ROLES),
            max_calls=st.none() | st.integers(0, 10),
            max_tokens=st.none() | st.integers(0, 2000),
            max_cost_usd=st.none() | st.floats(0, 2, allow_nan=False),
        ),
        max_size=4,
    ).map(tuple),
)
# A step reserves for a role, or ends the n-th call under way at a share of its worst case; at nothing where the share is 0.
steps = st.lists(st.tuples(st.sampled_from(ROLES), amounts) | st.tuples(st.integers(0, 50), st.integers(0, 4)), max_size=60)


def part(worst: Amount, quarters: int) -> Amount:
    tokens = (worst.num_input_tokens * quarters // 4, worst.num_output_tokens * quarters // 4)
    return Amount(int(quarters > 0), *tokens, worst.cost_pico_usd * quarters // 4)


def within(spent: Amount, limit: RoleLimit) -> bool:
    return (
        (limit.max_calls is None or spent.num_calls <= limit.max_calls)
        and (limit.max_tokens is None or spent.num_tokens <= limit.max_tokens)
        and (limit.max_cost_usd is None or spent.cost_pico_usd <= Decimal(repr(limit.max_cost_usd)) * 10**12)
    )


@given(spec=limits, steps=steps)
def test_no_interleaving_breaks_a_limit_and_every_end_counts_once(spec: SpendingSpec, steps: list[tuple]) -> None:
    ledger, under_way, paid = Ledger(), [], []
    for what, how in steps:
        if isinstance(what, str):
            if budget.excess(ledger, what, how, spec) is None:
                ledger = budget.reserve(ledger, what, how)
                under_way.append((what, how))
        elif under_way:
            role, worst = under_way.pop(what % len(under_way))
            cost = part(worst, how)
            ledger = budget.settle(ledger, role, worst, cost)
            paid.append((role, cost))
        assert within(ledger.counted, RoleLimit("", spec.max_calls, spec.max_tokens, spec.max_cost_usd))
        for limit in spec.role_limits:
            assert within(ledger.account(limit.role).counted, limit)
    for role in ROLES:
        assert ledger.account(role).settled == sum((cost for of, cost in paid if of == role), budget.NOTHING)
        assert ledger.account(role).reserved == sum((worst for of, worst in under_way if of == role), budget.NOTHING)


@given(spec=limits, steps=steps, worst=amounts, role=st.sampled_from(ROLES))
def test_what_is_reserved_makes_no_excess_last(spec: SpendingSpec, steps: list[tuple], worst: Amount, role: str) -> None:
    ledger = Ledger()
    for what, how in steps:
        if isinstance(what, str):
            ledger = budget.settle(budget.reserve(ledger, what, how), what, how, how)
    assert (budget.lasting_excess(ledger, role, worst, spec) is None) == (budget.excess(ledger, role, worst, spec) is None)
    held = budget.reserve(ledger, role, worst)
    assert budget.lasting_excess(held, role, worst, spec) == budget.lasting_excess(ledger, role, worst, spec)


def test_an_excess_names_the_limit_what_was_spent_and_what_the_call_may_take() -> None:
    paid = Amount(1, 60, 20, 10**12)
    ledger = budget.settle(budget.reserve(Ledger(), "ask", paid), "ask", paid, paid)
    worst = Amount(1, 20, 10, 5 * 10**11)
    assert budget.excess(ledger, "ask", worst, SpendingSpec()) is None
    assert budget.excess(ledger, "ask", worst, SpendingSpec(max_calls=1)) == "the run has made or begun 1 of 1 calls"
    assert budget.excess(ledger, "ask", worst, SpendingSpec(max_tokens=109)) == "the run counts 80 of 109 tokens, and this call may take 30"
    assert budget.excess(ledger, "ask", worst, SpendingSpec(max_tokens=110)) is None
    assert budget.excess(ledger, "ask", worst, SpendingSpec(max_cost_usd=1.4)) == "the run counts 1 of 1.4 USD, and this call may cost 0.5"
    assert budget.excess(ledger, "ask", worst, SpendingSpec(max_cost_usd=1.5)) is None
    spec = SpendingSpec(role_limits=(RoleLimit("ask", max_calls=1), RoleLimit("solve", max_calls=0)))
    assert budget.excess(ledger, "ask", worst, spec) == "ask has made or begun 1 of 1 calls"
    assert budget.excess(ledger, "solve", worst, spec) == "solve has made or begun 0 of 0 calls"
    assert budget.excess(ledger, "verify", worst, spec) is None


def test_money_is_told_in_dollars() -> None:
    assert Amount(2, 3, 4, 1_500_000_000_000).spend("ask").cost_usd == 1.5
