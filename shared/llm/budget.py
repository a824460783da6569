"""What a run has spent on language models and may still spend: pure arithmetic, in whole numbers.

A call is reserved at the most that it can cost before it is made, and settled at what it did cost. Whatever is reserved counts as spent,
so the limits hold at every moment and whatever happens to whoever reserved it: a process that dies leaves its calls at their worst case.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from shared.domain import RoleLimit, Spend
from shared.run_spec import SpendingSpec

PICO_PER_USD = 10**12


@dataclass(frozen=True, slots=True)
class Amount:
    """Calls, tokens and money (picodollars, 1e-12 USD: sums are exact)."""

    num_calls: int = 0
    num_input_tokens: int = 0
    num_output_tokens: int = 0
    cost_pico_usd: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.num_calls + other.num_calls,
            self.num_input_tokens + other.num_input_tokens,
            self.num_output_tokens + other.num_output_tokens,
            self.cost_pico_usd + other.cost_pico_usd,
        )

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(
            self.num_calls - other.num_calls,
            self.num_input_tokens - other.num_input_tokens,
            self.num_output_tokens - other.num_output_tokens,
            self.cost_pico_usd - other.cost_pico_usd,
        )

    @property
    def num_tokens(self) -> int:
        """Input and output together: what limits are about."""
        return self.num_input_tokens + self.num_output_tokens

    def spend(self, role: str) -> Spend:
        """As it is told in events."""
        return Spend(role, self.num_calls, self.num_input_tokens, self.num_output_tokens, float(Decimal(self.cost_pico_usd) / PICO_PER_USD))


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Account:
    """One role's part of a run's spending."""

    settled: Amount = NOTHING
    """What answered calls cost, and what those may have cost whose answer was lost."""
    reserved: Amount = NOTHING
    """What calls under way may cost at most, and those of processes that died."""

    @property
    def counted(self) -> Amount:
        """What the limits count."""
        return self.settled + self.reserved


@dataclass(frozen=True, slots=True)
class Ledger:
    """All accounts of a run."""

    accounts: dict[str, Account] = field(default_factory=dict)

    def account(self, role: str) -> Account:
        """A role's account; empty where nothing was spent."""
        return self.accounts.get(role, Account())

    @property
    def settled(self) -> Amount:
        """What all roles have settled."""
        return sum((account.settled for account in self.accounts.values()), NOTHING)

    @property
    def counted(self) -> Amount:
        """What the limits count, over all roles."""
        return sum((account.counted for account in self.accounts.values()), NOTHING)


def reserve(ledger: Ledger, role: str, worst: Amount) -> Ledger:
    """The ledger with a call more under way; whether it may be made is `excess`'s to say."""
    account = ledger.account(role)
    return _with(ledger, role, replace(account, reserved=account.reserved + worst))


def settle(ledger: Ledger, role: str, worst: Amount, cost: Amount) -> Ledger:
    """The ledger with a reserved call ended at its cost; `NOTHING` where nobody was billed."""
    account = ledger.account(role)
    return _with(ledger, role, Account(account.settled + cost, account.reserved - worst))


def excess(ledger: Ledger, role: str, worst: Amount, limits: SpendingSpec) -> str | None:
    """The limit that a further call could break, in words; None where it breaks none."""
    return _excess(ledger.counted, ledger.account(role).counted, role, worst, limits)


def lasting_excess(ledger: Ledger, role: str, worst: Amount, limits: SpendingSpec) -> str | None:
    """Like `excess`, were every reservation given back: the limit that will not allow this call again."""
    return _excess(ledger.settled, ledger.account(role).settled, role, worst, limits)


def _excess(spent: Amount, spent_by_role: Amount, role: str, worst: Amount, limits: SpendingSpec) -> str | None:
    of_run = RoleLimit("", limits.max_calls, limits.max_tokens, limits.max_cost_usd)
    broken = _broken(spent, worst, of_run, "the run")
    for limit in limits.role_limits:
        if broken is None and limit.role == role:
            broken = _broken(spent_by_role, worst, limit, role)
    return broken


def _broken(spent: Amount, worst: Amount, limit: RoleLimit, whose: str) -> str | None:
    after = spent + worst
    if limit.max_calls is not None and after.num_calls > limit.max_calls:
        return f"{whose} has made or begun {spent.num_calls} of {limit.max_calls} calls"
    if limit.max_tokens is not None and after.num_tokens > limit.max_tokens:
        return f"{whose} counts {spent.num_tokens} of {limit.max_tokens} tokens, and this call may take {worst.num_tokens}"
    if limit.max_cost_usd is not None and after.cost_pico_usd > _pico(limit.max_cost_usd):
        return f"{whose} counts {_usd(spent)} of {limit.max_cost_usd:g} USD, and this call may cost {_usd(worst)}"
    return None


def _with(ledger: Ledger, role: str, account: Account) -> Ledger:
    return Ledger({**ledger.accounts, role: account})


def _pico(usd: float) -> int:
    return int(Decimal(repr(usd)) * PICO_PER_USD)


def _usd(amount: Amount) -> str:
    return f"{amount.cost_pico_usd / PICO_PER_USD:.6g}"
