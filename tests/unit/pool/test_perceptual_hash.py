"""The 64-bit hash: stable under re-encoding and resizing, far apart otherwise, and flipped by mirroring where it should be."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from shared.images.perceptual_hash import NEAR_BITS, hamming, hamming_to_all, mirrored_hash, perceptual_hash
from tests.unit.pool.pictures import encoded, photo

seeds = st.integers(0, 2**32 - 1)
hashes = st.integers(0, 2**64 - 1)


def again(image: Image.Image, form: str, **options: object) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, form, **options)))


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from(["JPEG", "WEBP"]), st.integers(50, 95))
def test_encoding_again_changes_few_bits(seed: int, form: str, quality: int) -> None:
    image = photo(seed, 160)
    assert hamming(perceptual_hash(image), perceptual_hash(again(image, form, quality=quality))) <= 2 * NEAR_BITS


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0.3, 2.5), st.floats(0.3, 2.5))
def test_resizing_changes_few_bits_even_where_it_distorts(seed: int, across: float, down: float) -> None:
    image = photo(seed, 200, 160)
    resized = image.resize((round(200 * across), round(160 * down)), Image.Resampling.LANCZOS)
    assert hamming(perceptual_hash(image), perceptual_hash(resized)) <= 2 * NEAR_BITS


def test_of_a_hundred_copies_at_most_one_differs_in_more_than_few_bits() -> None:
    images = [photo(seed, 160) for seed in range(100)]
    copies = [again(image.resize((80, 80)), "JPEG", quality=60) for image in images]
    far = [hamming(perceptual_hash(image), perceptual_hash(copy)) > NEAR_BITS for image, copy in zip(images, copies, strict=True)]
    assert sum(far) <= 1


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0.8, 1.1), st.floats(0.7, 1.1))
def test_brightness_and_contrast_change_few_bits(seed: int, brightness: float, contrast: float) -> None:
    image = photo(seed, 160)
    changed = ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(brightness)).enhance(contrast)
    assert hamming(perceptual_hash(image), perceptual_hash(changed)) <= 2 * NEAR_BITS


@settings(max_examples=40, deadline=None)
@given(seeds, seeds)
def test_other_images_differ_in_many_bits(first: int, second: int) -> None:
    if first != second:
        assert hamming(perceptual_hash(photo(first)), perceptual_hash(photo(second))) > 2 * NEAR_BITS


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_the_hash_of_a_mirrored_copy_follows_from_the_hash(seed: int) -> None:
    image = photo(seed, 150, 110)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert hamming(mirrored_hash(perceptual_hash(image)), perceptual_hash(mirrored)) <= NEAR_BITS
    assert hamming(perceptual_hash(image), perceptual_hash(mirrored)) > 2 * NEAR_BITS


@given(hashes, hashes)
def test_mirroring_twice_is_nothing_and_keeps_distances(first: int, second: int) -> None:
    assert mirrored_hash(mirrored_hash(first)) == first
    assert hamming(mirrored_hash(first), mirrored_hash(second)) == hamming(first, second)


@given(hashes, st.lists(hashes, min_size=1, max_size=20))
def test_distances_to_many_are_the_distances_to_each(one: int, many: list[int]) -> None:
    assert hamming_to_all(one, np.array(many, dtype=np.uint64)).tolist() == [hamming(one, other) for other in many]


def test_about_half_of_the_bits_are_set() -> None:
    seen = [perceptual_hash(photo(seed)) for seed in range(200)]
    bits = np.array([[one >> bit & 1 for bit in range(64)] for one in seen])
    assert np.all((bits.mean(axis=0) > 0.3) & (bits.mean(axis=0) < 0.7))


@pytest.mark.parametrize("colour", ["black", "white", "red"])
def test_an_image_of_one_colour_has_the_hash_zero_at_any_size(colour: str) -> None:
    assert {perceptual_hash(Image.new("RGB", size, colour)) for size in ((1, 1), (31, 7), (64, 64), (500, 300))} == {0}


def test_luma_hashes_as_its_image_does() -> None:
    image = photo(5)
    assert perceptual_hash(np.asarray(image.convert("L"))) == perceptual_hash(image)
