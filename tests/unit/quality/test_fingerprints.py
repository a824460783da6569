"""Copies are found however they were stored; siblings of one template are not taken for copies."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import question_words
from tests.unit.quality.suspects import candidate, drawing, encoded, mark

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


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found_however_it_was_stored(how: str) -> None:
    for number in range(30):
        copy = candidate(number, image=COPIES[how](drawing(number)), question="how many RED dots are there")
        assert index_of(number).near(mark(copy)) == "first", number


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
