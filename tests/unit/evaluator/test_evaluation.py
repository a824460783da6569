"""What an evaluation asks and what its answers say."""

from hypothesis import given
from hypothesis import strategies as st

from services.evaluator.evaluation import chunk_seed, chunks, count_rollouts
from shared.domain import Question, QuestionType
from tests.unit.evaluator.asking import probe

QUESTION = Question("q", b"", "How many?", QuestionType.NUMERIC, (), "3", 0.0)


@given(st.integers(0, 40), st.integers(1, 12))
def test_chunks_hold_every_probe_once_in_order_and_have_distinct_names(num: int, size: int) -> None:
    probes = [probe(f"p{number}") for number in range(num)]
    parts = list(chunks(probes, size, is_exam=False))
    assert [one for part in parts for one in part.probes] == probes
    assert len({part.key for part in parts}) == len(parts)
    assert all(len(part.probes) <= size for part in parts)


def test_a_chunk_of_other_probes_has_another_name() -> None:
    (first,), (second,) = (list(chunks([probe(name)], 4, is_exam=False)) for name in ("a", "b"))
    assert first.key != second.key


@given(st.integers(0, 2**64 - 1), st.integers(0, 9))
def test_seeds_differ_between_chunks_and_iterations_and_fit_a_generator(seed: int, iteration: int) -> None:
    seeds = {chunk_seed(seed, iteration, "a"), chunk_seed(seed, iteration, "b"), chunk_seed(seed, iteration + 1, "a")}
    assert len(seeds) == 3
    assert all(0 <= one < 2**64 for one in seeds)


def test_rollouts_count_right_and_unreadable_answers_and_name_the_majority() -> None:
    rollouts = count_rollouts(QUESTION, ["4", "3", "4", "who knows"])
    assert (rollouts.num_rollouts, rollouts.num_correct, rollouts.num_ungradable) == (4, 1, 1)
    assert (rollouts.majority_answer, rollouts.majority_share) == ("4", 0.5)


def test_rollouts_without_a_readable_answer_have_no_majority() -> None:
    rollouts = count_rollouts(QUESTION, ["who knows"])
    assert (rollouts.majority_answer, rollouts.majority_share, rollouts.num_ungradable) == ("", 0.0, 1)
