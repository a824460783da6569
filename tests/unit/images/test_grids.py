"""Grids do not depend on how many pixels an image has, and windows are what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.images.grids import GRID, grid_of, grids_in, halved, halved_flags, weights
from shared.images.windows import FEW, VARIANTS, WHOLE_MIRRORED, WHOLE_UPRIGHT, bank, moved

SIDES = st.integers(1, 300)


def plane(height: int, width: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).random((height, width), dtype=np.float32) * 255


@given(SIDES, st.integers(1, 32), st.floats(-0.3, 0.3), st.floats(0.7, 1.3))
def test_each_cell_is_a_mean_and_knows_how_much_of_it_is_covered(num_pixels: int, num_cells: int, start: float, stop: float) -> None:
    shares, coverage = weights(num_pixels, num_cells, np.array([start]), np.array([stop]))
    assert shares.shape == (1, num_cells, num_pixels)
    assert (shares >= 0).all() and (coverage >= -1e-6).all() and (coverage <= 1 + 1e-5).all()
    assert np.allclose(shares.sum(axis=2)[coverage > 1e-3], 1, atol=1e-4)
    if start >= 0 and stop <= 1:
        assert np.allclose(coverage, 1, atol=1e-4)


def test_an_image_enlarged_by_a_whole_number_has_the_same_grid() -> None:
    small = np.random.default_rng(1).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    large = small.repeat(3, axis=0).repeat(5, axis=1)
    assert np.abs(grid_of(small).astype(int) - grid_of(large)).max() <= 1


def test_a_window_inside_is_the_grid_of_the_cropped_image() -> None:
    image = plane(200, 160)
    windows = np.array([[0.1, 1.0, 0.05, 0.95]])
    grids, coverage = grids_in(image, windows)
    (expected,), _ = grids_in(np.ascontiguousarray(image[10:190, 16:]), np.array([[0.0, 1.0, 0.0, 1.0]]))
    assert np.allclose(grids[0], expected, atol=0.01)
    assert np.allclose(coverage, 1, atol=1e-5)


def test_a_window_outside_covers_the_original_but_for_its_margin() -> None:
    image = plane(200, 200)
    whole = np.array([[0.0, 1.0, 0.0, 1.0]])
    (original,), _ = grids_in(image, whole)
    cropped = np.ascontiguousarray(image[:, 20:])
    grids, coverage = grids_in(cropped, np.array([[-20 / 180, 1.0, 0.0, 1.0]]))
    covered = coverage[0] > 0.97
    assert covered[:, 5:].all() and not covered[:, :3].any()
    assert np.allclose(grids[0][covered], original[covered], atol=0.01)


def test_a_mirrored_window_is_the_window_of_the_mirrored_image() -> None:
    image = plane(90, 120)
    mirrored, _ = grids_in(image, np.array([[1.0, 0.1, 0.0, 1.0]]))
    upright, _ = grids_in(np.ascontiguousarray(image[:, ::-1]), np.array([[0.0, 0.9, 0.0, 1.0]]))
    assert np.allclose(mirrored, upright, atol=0.01)


@pytest.mark.parametrize("num_cells", [4, 8, 16])
def test_the_bank_holds_the_variants_that_their_windows_describe(num_cells: int) -> None:
    image = plane(GRID, GRID)
    variants, mask = bank(num_cells).variants(image), bank(num_cells).mask
    for at in (WHOLE_UPRIGHT, 5, 40, 70, WHOLE_MIRRORED, 80, 111, len(VARIANTS) - 1):
        left, right, top, bottom = VARIANTS[at]
        across, covered_across = weights(GRID, num_cells, np.array([left]), np.array([right]))
        down, covered_down = weights(GRID, num_cells, np.array([top]), np.array([bottom]))
        covered = np.outer(covered_down[0] > 0.8, covered_across[0] > 0.8).reshape(-1)
        assert (mask[at] == covered).all()
        assert np.allclose(variants[at], (down[0] @ image @ across[0].T).reshape(-1) * covered, atol=0.01)


def test_variants_are_distinct_and_few_stand_for_all() -> None:
    assert len({tuple(window) for window in VARIANTS.round(6)}) == len(VARIANTS) == 142
    assert {WHOLE_UPRIGHT, WHOLE_MIRRORED} <= set(FEW.tolist())
    assert len(FEW) < len(VARIANTS) / 2


def test_windows_move_by_cells_and_not_far_from_the_image() -> None:
    windows = np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]])
    by_a_cell = moved(windows, np.array([[1.0, 0.0, 0.0, -2.0]] * 2), 32)
    assert np.allclose(by_a_cell, [[1 / 32, 1, 0, 1 - 2 / 32], [1 - 1 / 32, 0, 0, 1 - 2 / 32]])
    assert np.abs(moved(windows, np.full((2, 4), 9.0), 32) - windows).max() <= 0.13 + 1e-9


def test_halving_takes_means_and_asks_for_all() -> None:
    assert halved(np.array([[[1.0, 3.0], [5.0, 7.0]]], dtype=np.float32)).tolist() == [[[4.0]]]
    flags = np.array([[True, True, True, False], [True, True, True, True]])
    assert halved_flags(flags).tolist() == [[True, False]]
