"""Lists of one cell go through its images in turn."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.generators.agentic.turn import Turn

SIZE = 8


@given(num_images=st.integers(1, 500), iteration=st.integers(1, 9))
def test_lists_of_one_iteration_begin_with_different_images_until_all_were_used(num_images: int, iteration: int) -> None:
    begun: list[int] = []
    for ordinal in range(num_images // SIZE):
        start = Turn("run/cell", iteration, ordinal * SIZE).offset(num_images)
        begun += [(start + place) % num_images for place in range(SIZE)]
    assert len(set(begun)) == len(begun)


def test_iterations_begin_far_apart() -> None:
    starts = sorted(Turn("run/cell", iteration).offset(1000) for iteration in range(1, 6))
    assert min(later - earlier for earlier, later in pairwise(starts)) > 100


def test_no_images_are_no_place() -> None:
    assert Turn("run/cell", 3, 16).offset(0) == 0
