"""Photos of phones that hold several JPEGs: the first one is taken in, and nothing of what follows it."""

import io
import struct
import time
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.domain import RejectionReason
from shared.images.decoding import ImageRefused, decode_image
from shared.images.first_picture import first_picture
from shared.images.intake import Intake, IntakeCaps, hash_of, take_in
from tests.unit.pool.phone_photos import SECRET, archive, directory, gain_map, phone_photo, segment, stereo
from tests.unit.pool.pictures import encoded, photo, png_bomb, tagged

CAPS = IntakeCaps()
UPRIGHT = photo(20, 120, 80)
PICTURE = encoded(UPRIGHT, quality=92)


def refusal(payload: bytes) -> str:
    with pytest.raises(ImageRefused) as caught:
        take_in(payload, CAPS)
    assert caught.value.reason is RejectionReason.IMAGE_UNDECODABLE
    return caught.value.detail


def is_clean(taken: Intake) -> bool:
    """Whether one JPEG stands there and nothing else."""
    for stored in (taken.image, taken.thumbnail):
        assert Image.open(io.BytesIO(stored)).format == "JPEG"
        decode_image(stored, max_bytes=1_000_000, max_pixels=1_000_000)
        if zipfile.is_zipfile(io.BytesIO(stored)) or SECRET in stored or b"MPF\0" in stored or b"hdrgm" in stored:
            return False
    return True


@pytest.mark.parametrize(
    "payload",
    [
        stereo(),
        encoded(UPRIGHT, "MPO", save_all=True, append_images=[photo(22, 120, 80), photo(23, 120, 80)], quality=92),
        phone_photo(PICTURE, gain_map()),
        phone_photo(PICTURE, gain_map(), order="<"),
        phone_photo(PICTURE, gain_map(), padding=512),
        phone_photo(PICTURE, gain_map(), gain_map(), gain_map()),
        phone_photo(PICTURE[:2] + segment(0xFE, b"a comment") + PICTURE[2:], gain_map()),
        phone_photo(encoded(UPRIGHT, quality=92, progressive=True), gain_map()),
    ],
    ids=["stereo", "three", "Ultra HDR", "little-endian", "padded", "four", "commented", "progressive"],
)
def test_the_first_picture_is_what_it_would_be_alone(payload: bytes) -> None:
    taken = take_in(payload, CAPS)
    assert taken == take_in(PICTURE, CAPS)
    assert hash_of(payload, CAPS) == hash_of(PICTURE, CAPS)
    assert is_clean(taken)


def test_only_the_intake_takes_them() -> None:
    for payload in (stereo(), phone_photo(PICTURE, gain_map())):
        take_in(payload, CAPS)
        with pytest.raises(ImageRefused, match="bytes follow the JPEG"):
            decode_image(payload, max_bytes=1_000_000, max_pixels=1_000_000)


def test_a_directory_whose_pictures_an_editor_left_out_does_no_harm() -> None:
    named = directory([(len(PICTURE), 0), (1000, len(PICTURE))])
    for payload in (phone_photo(PICTURE), PICTURE[:2] + named + PICTURE[2:]):
        assert take_in(payload, CAPS) == take_in(PICTURE, CAPS)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_phone_photo_stands_upright(orientation: int) -> None:
    turned = {3: (120, 80), 6: (80, 120), 8: (80, 120)}[orientation]
    plain = take_in(tagged(UPRIGHT, orientation, quality=92), CAPS)
    for payload in (stereo(orientation), phone_photo(tagged(UPRIGHT, orientation, quality=92), gain_map())):
        taken = take_in(payload, CAPS)
        assert (taken.width_px, taken.height_px) == turned
        assert taken.perceptual_hash == plain.perceptual_hash
        assert is_clean(taken)


@pytest.mark.parametrize(
    "payload",
    [
        phone_photo(PICTURE, gain_map(), tail=archive()),
        phone_photo(PICTURE, gain_map() + archive()),
        phone_photo(PICTURE, gain_map()[:2] + segment(0xEF, archive()) + gain_map()[2:]),
        phone_photo(PICTURE[:2] + segment(0xEF, archive()) + PICTURE[2:], gain_map()),
        phone_photo(PICTURE[:2] + segment(0xFE, archive()) + PICTURE[2:], gain_map(), tail=archive()),
        stereo() + archive(),
    ],
    ids=["behind all", "as of the second", "in the second", "in the first", "in a comment", "behind a stereo photo"],
)
def test_nothing_of_an_archive_beside_the_picture_is_kept(payload: bytes) -> None:
    assert SECRET in payload
    taken = take_in(payload, CAPS)
    assert is_clean(taken)
    assert taken.perceptual_hash == take_in(PICTURE, CAPS).perceptual_hash


@pytest.mark.parametrize(
    "payload",
    [
        PICTURE + gain_map(),
        PICTURE + archive(),
        PICTURE + bytes(16),
        phone_photo(PICTURE, tail=archive()),
        phone_photo(PICTURE, tail=bytes(16)),
        phone_photo(PICTURE, tail=gain_map()),
        phone_photo(PICTURE, archive()),
        phone_photo(PICTURE, archive(), gain_map()),
        phone_photo(PICTURE, png_bomb(9)),
        phone_photo(PICTURE, gain_map(), misplaced=1),
        phone_photo(PICTURE, gain_map(), longer=1),
        phone_photo(PICTURE, gain_map())[:-1],
        phone_photo(phone_photo(PICTURE, gain_map()), gain_map()),
        phone_photo(PICTURE[:2] + directory([(1, 0), (1, 1)]) + PICTURE[2:], gain_map()),
    ],
)
def test_other_bytes_behind_a_picture_stay_refused(payload: bytes) -> None:
    assert first_picture(payload) == payload
    assert "bytes follow the JPEG" in refusal(payload)


def test_a_first_picture_that_is_cut_off_is_refused() -> None:
    assert "truncated" in refusal(phone_photo(PICTURE[:-200]))


def test_caps_are_on_the_whole_file() -> None:
    payload = phone_photo(PICTURE, gain_map())
    for caps in (IntakeCaps(max_bytes=len(payload) - 1), IntakeCaps(max_pixels=120 * 80 - 1)):
        with pytest.raises(ImageRefused) as caught:
            take_in(payload, caps)
        assert caught.value.reason is RejectionReason.IMAGE_TOO_LARGE
    take_in(payload, IntakeCaps(max_bytes=len(payload), max_pixels=120 * 80))


def test_a_directory_of_nothing_but_directories_is_read_in_no_time() -> None:
    # Each of 5,000 fields says that all of them are entries.
    fields = struct.pack(">HHII", 0xB002, 7, 60_000, 0) * 5000
    payload = PICTURE[:2] + segment(0xE2, b"MPF\0MM\0*" + struct.pack(">IH", 8, 5000) + fields) + PICTURE[2:] + gain_map()
    started = time.perf_counter()
    assert "bytes follow the JPEG" in refusal(payload)
    assert time.perf_counter() - started < 1


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_phone_photos_that_were_tampered_with_are_refused_or_taken(data: st.DataObject) -> None:
    payload = bytearray(phone_photo(encoded(photo(15, 40)), encoded(photo(16, 16)), tail=archive()))
    start = payload.index(b"MPF\0") - 8
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(start, start + 110) | st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        taken = take_in(bytes(payload), IntakeCaps(max_pixels=100_000))
    except ImageRefused as error:
        assert error.detail
    else:
        assert is_clean(taken)
