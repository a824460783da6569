"""What a run spent on language models, by role and by generator kind, and what it got for it. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from services.cli.report_model import KindScore, RoleSpending, Spending
from shared import events as e
from shared.domain import Spend
from shared.run_spec import SpendingSpec


def spending_of(events: Sequence[e.Event], counted: Sequence[Spend], limits: SpendingSpec, *, num_accepted: int) -> Spending | None:
    """The run's spending; None where it asked no language model.

    Args:
        events: the run's; what they say was spent is taken where no budget was kept.
        counted: what counts against the run's budget, by role: calls under way, or lost with their process, at their worst case.
        limits: what the run may spend.
        num_accepted: accepted samples of the whole run.
    """
    roles = by_role(counted or _paid(_answers(events)))
    if not roles:
        return None
    cost_usd = sum(role.cost_usd for role in roles)
    return Spending(
        roles=roles,
        calls=sum(role.calls for role in roles),
        tokens=sum(role.input_tokens + role.output_tokens for role in roles),
        cost_usd=cost_usd,
        cost_per_accepted_usd=cost_usd / num_accepted if num_accepted else None,
        max_calls=limits.max_calls,
        max_tokens=limits.max_tokens,
        max_cost_usd=limits.max_cost_usd,
    )


def by_role(spent: Iterable[Spend]) -> tuple[RoleSpending, ...]:
    """Spending summed by role, in the order of names; roles that made no call are left out."""
    sums: dict[str, RoleSpending] = {}
    for spend in spent:
        if spend.num_calls:
            so_far = sums.get(spend.role, RoleSpending(spend.role, 0, 0, 0, 0.0))
            sums[spend.role] = RoleSpending(
                role=spend.role,
                calls=so_far.calls + spend.num_calls,
                input_tokens=so_far.input_tokens + spend.num_input_tokens,
                output_tokens=so_far.output_tokens + spend.num_output_tokens,
                cost_usd=so_far.cost_usd + spend.cost_usd,
            )
    return tuple(sums[role] for role in sorted(sums))


def kinds_of(events: Sequence[e.Event]) -> tuple[KindScore, ...]:
    """Every generator kind that answered a lease, in the order of names."""
    answers = _answers(events)
    return tuple(_kind(kind, answers) for kind in sorted({event.generator.kind for event in answers}))


def _kind(kind: str, answers: Sequence[e.CandidatesGenerated | e.CandidatesReviewed]) -> KindScore:
    mine = [event for event in answers if event.generator.kind == kind]
    verdicts = [verdict for event in mine if isinstance(event, e.CandidatesReviewed) for verdict in event.verdicts]
    num_accepted = sum(verdict.accepted for verdict in verdicts)
    rejected = Counter(verdict.reason.value for verdict in verdicts if verdict.reason is not None)
    roles = by_role(_paid(mine))
    cost_usd = sum(role.cost_usd for role in roles)
    return KindScore(
        kind=kind,
        leases=sum(isinstance(event, e.CandidatesGenerated) for event in mine),
        candidates=len(verdicts),
        accepted=num_accepted,
        acceptance=num_accepted / len(verdicts) if verdicts else None,
        rejected=dict(rejected.most_common()),
        calls=sum(role.calls for role in roles),
        tokens=sum(role.input_tokens + role.output_tokens for role in roles),
        cost_usd=cost_usd,
        cost_per_accepted_usd=cost_usd / num_accepted if num_accepted else None,
    )


def _paid(answers: Sequence[e.CandidatesGenerated | e.CandidatesReviewed]) -> list[Spend]:
    """What answers cost, each told once: what a review says holds the making as well."""
    reviewed = {(event.lease.lease_id, event.generator) for event in answers if isinstance(event, e.CandidatesReviewed)}
    told = (
        event for event in answers if isinstance(event, e.CandidatesReviewed) or (event.lease.lease_id, event.generator) not in reviewed
    )
    return [spend for event in told for spend in event.spent]


def _answers(events: Iterable[e.Event]) -> list[e.CandidatesGenerated | e.CandidatesReviewed]:
    """Every answer to a lease, and one review of each lease: two kinds may have answered it, and both made calls."""
    known = list(events)
    reviews = {event.lease.lease_id: event for event in known if isinstance(event, e.CandidatesReviewed)}
    return [*(event for event in known if isinstance(event, e.CandidatesGenerated)), *reviews.values()]
