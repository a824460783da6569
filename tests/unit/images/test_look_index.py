"""Copies are found however they were changed, each for what it is, and other pictures are not."""

from functools import cache
from random import Random

import numpy as np
import pytest
from PIL import Image

from shared.images.decoding import DecodedImage
from shared.images.likeness import Kind, Likeness
from shared.images.look import Look, look_of
from shared.images.look_index import LookIndex
from tests.planted.copies import CROPPED, EDITED, MIRRORED, SCALED, STORED, Copy, encoded
from tests.planted.corpus import decoded
from tests.planted.pictures import draw

FAMILIES = ("landscape", "things", "portrait", "skyline", "chart")
PICTURES = [(family, number) for family in FAMILIES for number in range(8)]


def seen(image: Image.Image) -> DecodedImage:
    return decoded(encoded(image))


@cache
def original(at: int) -> Image.Image:
    return draw(*PICTURES[at])


@pytest.fixture(scope="module")
def index() -> LookIndex:
    made = LookIndex()
    for at in range(len(PICTURES)):
        look = look_of(seen(original(at)))
        made.add(np.frombuffer(look.cells, dtype=np.uint8).reshape(32, 32, 3), look.short_side_px)
    return made


def likeness(index: LookIndex, at: int, copy: Copy) -> Likeness | None:
    alike = list(index.alike(look_of(decoded(copy(original(at), Random(at))))))
    assert all(each.row == at for each in alike if each.likeness.kind is Kind.COPY)
    return next((each.likeness for each in alike if each.row == at), None)


def likenesses(index: LookIndex, copy: Copy) -> list[Likeness | None]:
    return [likeness(index, at, copy) for at in range(len(PICTURES))]


def share_found(found: list[Likeness | None], *, least: Kind) -> float:
    return sum(each is not None and each.kind >= least for each in found) / len(found)


@pytest.mark.parametrize("name", ["JPEG 50", "WEBP 80", "x1.5 bilinear, JPEG 75", "x0.75"])
def test_stored_and_scaled_copies_are_copies(index: LookIndex, name: str) -> None:
    assert share_found(likenesses(index, (STORED | SCALED)[name]), least=Kind.COPY) == 1


@pytest.mark.parametrize("name", ["cropped 5 %", "cropped 10 %, JPEG 75"])
def test_cropped_copies_are_copies_that_know_so(index: LookIndex, name: str) -> None:
    found = likenesses(index, CROPPED[name])
    assert share_found(found, least=Kind.NEAR) >= 0.95
    one = found[1]
    assert one is not None and one.is_cropped and not one.is_mirrored and str(one) == "cropped copy"


@pytest.mark.parametrize("name", ["mirrored, JPEG 75", "mirrored, cropped 5 %, JPEG 75"])
def test_mirrored_copies_are_copies_that_know_so(index: LookIndex, name: str) -> None:
    found = likenesses(index, MIRRORED[name])
    assert share_found(found, least=Kind.NEAR) >= 0.95
    assert found[1] is not None and found[1].is_mirrored


@pytest.mark.parametrize("name", ["edited 5 %", "edited 3 %, mirrored, cropped 5 %, JPEG 75"])
def test_edited_copies_are_found_but_are_no_copies(index: LookIndex, name: str) -> None:
    found = likenesses(index, EDITED[name])
    assert share_found(found, least=Kind.EDITED) >= 0.9
    assert share_found(found, least=Kind.COPY) <= 0.7


def test_edited_copies_are_found_only_where_they_count(index: LookIndex) -> None:
    edited = next(at for at in range(40) if (found := likeness(index, at, EDITED["edited 5 %"])) and found.kind is Kind.EDITED)
    look = look_of(decoded(EDITED["edited 5 %"](draw(*PICTURES[edited]), Random(edited))))
    flags = np.zeros(len(index), dtype=np.bool_)
    assert edited not in [each.row for each in index.alike(look, edited=flags)]
    flags[edited] = True
    assert [each.row for each in index.alike(look, edited=flags)] == [edited]


def test_only_the_asked_rows_are_looked_at(index: LookIndex) -> None:
    look = look_of(decoded(CROPPED["cropped 5 %"](draw(*PICTURES[3]), Random(3))))
    for rows in ([1, 2], [0, 3, 5]):
        assert all(each.row in rows for each in index.alike(look, rows=np.array(rows)))
    assert [each.row for each in index.uncropped(look_of(seen(draw(*PICTURES[3]))), np.array([2, 3]))] == [3]


def test_other_pictures_of_the_same_family_are_no_copies(index: LookIndex) -> None:
    for family in FAMILIES:
        for number in range(100, 115):
            look = look_of(seen(draw(family, number)))
            assert not index.uncropped(look), (family, number)
            assert not [each for each in index.alike(look) if each.likeness.kind >= Kind.NEAR], (family, number)


def test_without_the_image_its_grid_stands_for_it(index: LookIndex) -> None:
    whole = seen(draw(*PICTURES[0]))
    look = look_of(whole)
    assert [each.row for each in index.alike(Look(look.cells, look.short_side_px))] == [0]


def test_the_verdict_is_the_same_whatever_else_is_known(index: LookIndex) -> None:
    look = look_of(decoded(CROPPED["cropped 10 %"](draw(*PICTURES[9]), Random(9))))
    assert list(index.alike(look)) == list(index.alike(look)) == list(index.alike(look, rows=np.arange(len(index))))


def test_pictures_without_detail_mean_nothing() -> None:
    blue = np.array(Image.new("RGB", (120, 90), (90, 140, 230)), dtype=np.uint8)
    noisy = Image.fromarray((blue + np.random.default_rng(1).integers(0, 3, blue.shape)).astype(np.uint8))
    index, look = LookIndex(), look_of(seen(noisy))
    index.add(np.frombuffer(look.cells, dtype=np.uint8).reshape(32, 32, 3), 90)
    again = look_of(seen(noisy.crop((0, 0, 112, 85))))
    assert [each.likeness.means_something for each in index.uncropped(look)] == [False]
    found = list(index.alike(again))
    assert all(not each.likeness.means_something for each in found)


def test_an_empty_index_finds_nothing_and_takes_no_memory() -> None:
    assert not list(LookIndex().alike(look_of(seen(draw("things", 1)))))
    assert LookIndex().num_bytes == 0


def test_an_image_takes_less_than_two_kilobytes(index: LookIndex) -> None:
    assert index.num_bytes / len(index) < 2048
