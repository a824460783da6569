"""Bringing images to size."""

from hypothesis import given
from hypothesis import strategies as st

from services.generators.agentic.darkroom import to_size
from services.generators.agentic.tools.edit_pixels import MIN_SIDE_PX
from services.generators.agentic.tools.edits import apply_edits
from shared.images.headers import read_header
from tests.unit.agentic_tools.loopback import encoded, picture


@given(st.integers(64, 2048), st.integers(64, 2048), st.integers(32, 2048))
def test_no_side_becomes_too_short_and_nothing_is_made_larger(width: int, height: int, size: int) -> None:
    steps = to_size(width, height, size)
    for step in steps:
        width, height = round(width * step.scale), round(height * step.scale)  # type: ignore[union-attr]
        assert min(width, height) >= MIN_SIDE_PX
    assert max(width, height) <= size + 1 or min(width, height) <= MIN_SIDE_PX + 1
    assert all(step.scale < 1 for step in steps)  # type: ignore[union-attr]


def test_a_large_image_is_brought_to_a_small_size_in_steps_that_each_replay() -> None:
    image = encoded(picture(2000, 1200))
    steps = to_size(2000, 1200, 64)
    small = apply_edits(image, steps, read_source=dict[str, bytes]().__getitem__)
    assert len(steps) == 2
    assert (read_header(small).width_px, read_header(small).height_px) == (107, 64)
