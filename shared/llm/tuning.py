"""Waits and limits of the exchange with endpoints that no operator should have to think of; tests shorten them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """How stubborn a call is, and when an endpoint counts as away."""

    num_reasks: int = 2
    """How often a model is told what was wrong with its reply."""
    num_attempts: int = 5
    """Requests for one answer while an endpoint fails or is overloaded."""
    num_attempts_after_timeout: int = 2
    """Requests for one answer where they run into the deadline: each counts as paid."""
    backoff_s: float = 0.5
    """Wait before the second attempt; doubles with each further one, and is jittered by half."""
    max_backoff_s: float = 15.0
    max_retry_after_s: float = 60.0
    """The longest that an endpoint's Retry-After is waited for; then it is asked again."""
    num_failures_to_open: int = 5
    """Failures in a row after which an endpoint is left alone."""
    cool_down_s: float = 2.0
    """How long at first; doubles with each failed try after it."""
    max_cool_down_s: float = 60.0
    first_in_flight: int = 16
    """Requests in flight that an endpoint gets at first; grows by successes."""
    connect_timeout_s: float = 10.0
    settle_wait_s: float = 5.0
    """How long an answer waits for the ledger to hold what it cost; then it is written down later."""
