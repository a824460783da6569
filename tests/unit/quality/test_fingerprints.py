"""Copies are found whatever was done to them; siblings of one template are not taken for copies."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from services.quality.evidence import Evidence
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import FINGERPRINT_FIELDS, Fingerprint, question_words
from shared.domain import Candidate
from shared.images.decoding import DecodedImage
from tests.unit.quality.suspects import CAPS, candidate, drawing, encoded, mark

COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": lambda image: encoded(image, compress_level=1),
    "JPEG 80": lambda image: encoded(image, "JPEG", quality=80),
    "WEBP 60": lambda image: encoded(image, "WEBP", quality=60),
    "twice the size": lambda image: encoded(image.resize((128, 128))),
    "nine tenths of the size": lambda image: encoded(image.resize((58, 58))),
    "half the size": lambda image: encoded(image.resize((32, 32))),
    "64 colours": lambda image: encoded(image.quantize(64)),
}


def index_of(number: int) -> FingerprintIndex:
    return FingerprintIndex([("first", mark(candidate(number)))])


def both(made: Candidate) -> tuple[Fingerprint, DecodedImage]:
    evidence = Evidence(made, made.cell, CAPS)
    assert isinstance(evidence.image, DecodedImage)
    return evidence.fingerprint, evidence.image


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found_however_it_was_stored(how: str) -> None:
    for number in range(30):
        copy = candidate(number, image=COPIES[how](drawing(number)), question="how many RED dots are there")
        assert index_of(number).near(mark(copy)) == "first", number


CHANGED: dict[str, Callable[[Image.Image], bytes]] = {
    "cropped at one side": lambda image: encoded(image.crop((6, 0, 64, 64))),
    "cropped at three sides": lambda image: encoded(image.crop((3, 4, 61, 64)), "JPEG", quality=90),
    "mirrored": lambda image: encoded(ImageOps.mirror(image)),
    "mirrored and cropped": lambda image: encoded(ImageOps.mirror(image).crop((0, 3, 61, 64)), "JPEG", quality=85),
    "one dot painted over": lambda image: painted(image, (22, 22, 32, 32)),
}


def painted(image: Image.Image, box: tuple[int, int, int, int]) -> bytes:
    changed = image.copy()
    changed.paste((20, 20, 20), box)
    return encoded(changed)


@pytest.mark.parametrize("how", CHANGED)
def test_a_changed_copy_is_found_by_its_question_and_answer(how: str) -> None:
    found = [index_of(number).near(*both(candidate(number, image=CHANGED[how](drawing(number))))) == "first" for number in range(30)]
    assert sum(found) >= 29


@pytest.mark.parametrize("how", CHANGED)
def test_a_changed_copy_with_another_question_is_another_sample(how: str) -> None:
    changed = candidate(3, image=CHANGED[how](drawing(3)), question="Is there a star?", answer="no")
    assert index_of(3).near(*both(changed)) is None


def test_what_makes_drawings_of_one_template_differ_is_no_edit_unless_the_answer_is_the_same() -> None:
    other = candidate(3, image=CHANGED["one dot painted over"](drawing(3)), answer="6")
    assert index_of(3).near(*both(other)) is None
    mirrored = candidate(3, image=CHANGED["mirrored"](drawing(3)), question="On which side is the red dot?", answer="left")
    walls = FingerprintIndex([("first", mark(replace(mirrored, image=encoded(drawing(3)), answer="right")))])
    assert walls.near(*both(mirrored)) is None


def test_an_entry_that_does_not_count_is_looked_past() -> None:
    fingerprint, image = both(candidate(1))
    index = FingerprintIndex((str(number), fingerprint) for number in range(3))
    assert index.near(fingerprint, image, counts=lambda entry: entry == "2") == "2"
    assert index.near(fingerprint, image, counts=lambda _: False) is None
    changed, seen = both(candidate(1, image=CHANGED["mirrored and cropped"](drawing(1))))
    assert index.near(changed, seen, counts=lambda entry: entry != "0") == "1"


def test_a_row_holds_a_fingerprint_and_older_rows_lack_the_question_type() -> None:
    fingerprint = mark(candidate(1))
    assert set(fingerprint.to_row()) == {field.name for field in FINGERPRINT_FIELDS}
    assert Fingerprint.from_row(fingerprint.to_row()) == fingerprint
    older = {key: value for key, value in fingerprint.to_row().items() if key != "question_type"}
    assert Fingerprint.from_row(older) == replace(fingerprint, question_type=None)
    assert Fingerprint.from_row(older | {"question_type": None, "candidate_id": "7"}) == replace(fingerprint, question_type=None)


def test_a_sibling_of_the_same_template_is_no_copy() -> None:
    index = FingerprintIndex()
    for number in range(300):
        fingerprint = mark(candidate(number))
        assert index.near(fingerprint) is None, number
        index.add(str(number), fingerprint)


def test_one_dot_of_another_colour_makes_another_image() -> None:
    changed = drawing(3)
    changed.paste((45, 90, 220) if changed.getpixel((27, 27)) != (45, 90, 220) else (215, 40, 40), (23, 23, 31, 31))
    assert index_of(3).near(mark(candidate(3, image=encoded(changed)))) is None


def test_another_question_on_the_same_image_is_no_copy() -> None:
    assert index_of(1).near(mark(candidate(1, question="How many blue dots are there?", answer="5"))) is None
    assert index_of(1).near(mark(candidate(1, question="Is there a star?", answer="no"))) is None


def test_a_paraphrase_with_the_same_answer_is_a_copy() -> None:
    first = candidate(1, question="What is the colour of the large circle on the left?", answer="red")
    index = FingerprintIndex([("first", mark(first))])
    assert index.near(mark(replace(first, question="The large circle on the left: which color is it?"))) == "first"
    assert index.near(mark(replace(first, question="What is the color of the small square on the right?"))) is None


def test_an_exact_copy_has_the_same_pixels_question_choices_and_answer() -> None:
    first = candidate(1)
    index = FingerprintIndex([("first", mark(first))])
    assert index.exact(mark(replace(first, image=encoded(drawing(1), compress_level=1)))) == "first"
    for change in ({"answer": "9"}, {"question": "How many dots?"}, {"image": encoded(drawing(2))}):
        assert index.exact(mark(replace(first, **change))) is None  # type: ignore[arg-type]


def test_the_first_of_many_copies_is_named_and_an_empty_index_names_nobody() -> None:
    fingerprint = mark(candidate(1))
    assert FingerprintIndex([(str(number), fingerprint) for number in range(40)]).near(fingerprint) == "0"
    assert FingerprintIndex().near(fingerprint) is None
    assert FingerprintIndex().exact(fingerprint) is None


@given(st.text(max_size=200))
def test_case_spacing_and_idle_words_do_not_change_a_question(text: str) -> None:
    assert question_words(f"  Please: the {text}  ?") == question_words(text)


def test_any_size_of_image_has_a_fingerprint() -> None:
    for size in ((1, 1), (1, 40), (3, 500), (33, 31), (1100, 900)):
        image = drawing(1).resize(size)
        assert index_of(1).near(mark(candidate(1, image=encoded(image)))) in ("first", None)
        assert len(mark(candidate(1, image=encoded(image))).cells) == 32 * 32 * 3
