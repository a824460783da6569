"""When the generator pauses because only the operator can change what keeps its candidates from being made."""

from services.generators.agentic.crafting import Batch, Crafted, Failure
from services.generators.agentic.recess import Recess
from tests.unit.agentic.test_crafting import crafted

UNKNOWN_MODEL = Failure("solve", "rejected", 1, "does not know the model 'large'")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def batch(*failures: Failure, made: tuple[Crafted, ...] = ()) -> Batch:
    return Batch(made, failures, ())


def test_it_begins_after_three_candidates_in_a_row_and_says_why() -> None:
    recess = Recess(Clock())
    reasons = []
    for _ in range(3):
        recess.note(batch(UNKNOWN_MODEL))
        reasons.append(recess.reason)
    assert reasons[:2] == ["", ""]
    assert reasons[2] == "every candidate fails, out of the spiral for a while: solve: does not know the model 'large'"


def test_candidates_and_failures_of_another_kind_end_the_row() -> None:
    recess = Recess(Clock())
    for end in (batch(made=(crafted(1),)), batch(UNKNOWN_MODEL, Failure("select", "no_image", 1, ""))):
        recess.note(batch(UNKNOWN_MODEL))
        recess.note(batch(UNKNOWN_MODEL))
        recess.note(end)
        assert not recess.reason
    recess.note(batch())
    assert not recess.reason


def test_a_lease_tries_again_after_it_and_the_next_one_is_longer() -> None:
    clock = Clock()
    recess = Recess(clock)
    three = batch(Failure("select", "search_refused", 3, "check the API key"))
    recess.note(three)
    clock.seconds = 60.0
    assert not recess.reason
    recess.note(three)
    clock.seconds = 179.0
    assert recess.reason
    clock.seconds = 180.0
    assert not recess.reason
    recess.note(batch(made=(crafted(1),)))
    recess.note(three)
    clock.seconds = 240.0
    assert not recess.reason, "it begins with the shortest again"
