"""The circuit breaker, by its clock."""

from shared.llm.breaker import Breaker


def breaker() -> Breaker:
    return Breaker(num_failures=3, cool_down_s=2.0, max_cool_down_s=7.0)


def opened(at: float = 0.0) -> Breaker:
    made = breaker()
    assert [made.failed(at) for _ in range(3)] == [False, False, True]
    return made


def test_it_opens_after_failures_in_a_row_and_not_after_others() -> None:
    made = breaker()
    made.failed(0.0)
    made.failed(0.0)
    made.succeeded()
    made.failed(0.0)
    made.failed(0.0)
    assert made.admits(0.0)
    assert made.failed(0.0)
    assert made.is_open(1.9)
    assert not made.admits(1.9)
    assert made.wait_s(0.5) == 1.5


def test_after_the_wait_one_request_tries_and_closes_it() -> None:
    made = opened()
    assert not made.is_open(2.0)
    assert made.admits(2.0)
    assert not made.admits(2.0), "a second one while the first tries"
    assert not made.is_open(2.0), "whoever asks whether to come back may come"
    assert made.succeeded()
    assert made.admits(2.0)
    assert not made.succeeded()


def test_each_failed_try_doubles_the_wait_up_to_the_longest() -> None:
    made = opened()
    now = 0.0
    for wait_s in (2.0, 4.0, 7.0, 7.0):
        assert not made.admits(now + wait_s - 0.01)
        now += wait_s
        assert made.admits(now)
        assert made.failed(now)
    made.admits(now + 7.0)
    made.succeeded()
    for _ in range(3):
        made.failed(100.0)
    assert made.wait_s(100.0) == 2.0, "a success forgets the waits before"


def test_requests_that_were_sent_before_it_opened_do_not_prolong_the_wait() -> None:
    made = opened()
    assert not made.failed(1.0)
    assert made.admits(2.0)


def test_a_try_that_was_never_made_is_for_the_next_one() -> None:
    made = opened()
    assert made.admits(2.0)
    made.given_up(2.0)
    assert made.admits(2.0)
    made.succeeded()
    made.given_up(2.0)
    assert made.admits(2.0)


def test_one_final_failure_is_enough() -> None:
    made = breaker()
    assert made.failed(0.0, is_final=True)
    assert made.is_open(1.0)
