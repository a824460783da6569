"""A window that is off by up to a cell finds its place, also where a part was painted over."""

from random import Random

import numpy as np
import pytest
from PIL import ImageDraw

from shared.images.alignment import align
from shared.images.grids import Floats, grids_in
from tests.planted.pictures import draw

WHOLE = np.array([[0.0, 1.0, 0.0, 1.0]])


def luma(family: str, number: int, painted: bool = False) -> Floats:
    image = draw(family, number, (160, 120))
    if painted:
        ImageDraw.Draw(image).rectangle((20, 30, 60, 55), fill=(250, 20, 20))
    return np.asarray(image.convert("L"), dtype=np.float32)


@pytest.mark.parametrize("family", ["landscape", "things", "portrait", "skyline"])
@pytest.mark.parametrize("painted", [False, True])
def test_the_place_of_a_crop_is_found(family: str, painted: bool) -> None:
    for number in range(6):
        rng = Random(number)
        left, top = rng.randint(0, 12), rng.randint(0, 9)
        known, _ = grids_in(np.ascontiguousarray(luma(family, number)[top : top + 110, left : left + 146]), WHOLE)
        true = np.array([[left / 160, (left + 146) / 160, top / 120, (top + 110) / 120]])
        begin = true + np.array([[rng.uniform(-0.02, 0.02) for _ in range(4)]])
        windows, (mean_left,) = align(luma(family, number, painted), known, begin, 6)
        assert np.abs(windows - true).max() < 0.004, (number, windows, true)
        assert mean_left < 2


def test_windows_of_an_empty_picture_stay_where_they_are() -> None:
    noise = 128 + np.random.default_rng(3).normal(0, 1, (100, 100)).astype(np.float32)
    known, _ = grids_in(128 + np.random.default_rng(4).normal(0, 1, (100, 100)).astype(np.float32), WHOLE)
    windows, _ = align(noise, known, WHOLE, 6)
    assert np.abs(windows - WHOLE).max() < 0.02


def test_windows_are_moved_as_if_each_were_alone() -> None:
    known, _ = grids_in(luma("landscape", 1), np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]))
    begin = np.array([[0.01, 0.99, 0.0, 1.0], [0.99, 0.0, 0.01, 1.0]])
    together, _ = align(luma("landscape", 1), known, begin, 3)
    for at in range(2):
        alone, _ = align(luma("landscape", 1), known[at : at + 1], begin[at : at + 1], 3)
        assert np.allclose(together[at], alone[0], atol=1e-4)
