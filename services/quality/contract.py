"""What quality refuses to work on: leases and settings that can't be meant."""

from services.quality.difficulty import Window
from shared.domain import Lease
from shared.errors import Rejected
from shared.run_spec import QualitySpec

MIN_BLIND_SOLVERS = 2
"""One model that agrees with another is no second opinion on a label that the other wrote."""


def check_lease_id(run_id: str, iteration: int, lease: Lease) -> None:
    """Refuses a lease whose id is not that of its run, iteration, cell and ordinal: earlier leases are found by it.

    Raises:
        Rejected: names what the id should be.
    """
    expected = f"{run_id}.{iteration}.{lease.cell.category.value}.{lease.cell.question_type.value}.{lease.ordinal}"
    if lease.lease_id != expected:
        raise Rejected(f"lease {lease.lease_id!r} must be called {expected!r}")


def check_quality(spec: QualitySpec, confidence: float = 0.5) -> Window:
    """The window on pass rates of a specification that can be carried out.

    Raises:
        Rejected: names the value and what it may be.
    """
    for name in ("num_rollouts", "max_image_bytes", "max_image_pixels"):
        if getattr(spec, name) < 1:
            raise Rejected(f"quality.{name} is {getattr(spec, name)}; it must be at least 1")
    if spec.num_blind_solvers < MIN_BLIND_SOLVERS:
        raise Rejected(f"quality.num_blind_solvers is {spec.num_blind_solvers}; it must be at least {MIN_BLIND_SOLVERS}")
    for name in ("max_domain_share", "max_image_share"):
        if not 0 < getattr(spec, name) <= 1:
            raise Rejected(f"quality.{name} is {getattr(spec, name)}; it must lie in (0, 1]")
    try:
        return Window(spec.pass_rate_low, spec.pass_rate_high, confidence)
    except ValueError as error:
        raise Rejected(f"quality.pass_rate_low and pass_rate_high: {error}") from error


def iteration_of(run_id: str, lease: Lease) -> int:
    """The iteration that a lease belongs to, from its id.

    Raises:
        Rejected: the id is not one of that run and cell.
    """
    parts = lease.lease_id.split(".")
    if len(parts) != 5 or not parts[1].isdecimal():
        raise Rejected(f"lease {lease.lease_id!r} must be called RUN_ID.ITERATION.CATEGORY.QUESTION_TYPE.ORDINAL")
    check_lease_id(run_id, int(parts[1]), lease)
    return int(parts[1])
