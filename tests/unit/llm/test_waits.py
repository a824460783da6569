"""Back-off and Retry-After."""

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.waits import backoff_s, retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@given(attempt=st.integers(1, 10_000), seed=st.integers(0, 99))
def test_back_off_doubles_up_to_the_longest_and_is_jittered_by_half(attempt: int, seed: int) -> None:
    longest = min(15.0, 0.5 * 2.0 ** min(attempt - 1, 40))
    assert longest / 2 <= backoff_s(attempt, Random(seed), first_s=0.5, most_s=15.0) <= longest


def test_two_callers_do_not_wait_alike() -> None:
    assert backoff_s(3, Random(1), first_s=0.5, most_s=15.0) != backoff_s(3, Random(2), first_s=0.5, most_s=15.0)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None),
        ("7", 7.0),
        (" 0.25 ", 0.25),
        ("-3", 0.0),
        ("86400", 60.0),
        ("inf", 60.0),
        ("nan", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 18:00:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(header: str | None, wait_s: float | None) -> None:
    assert retry_after_s(header, now=NOW, most_s=60.0) == wait_s
