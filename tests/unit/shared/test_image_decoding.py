"""Images that others made: whole and small ones pass, everything else is refused before it can do harm."""

import io
import struct
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.domain import RejectionReason
from shared.images.decoding import DecodedImage, ImageRefused, decode_image
from tests.unit.quality.suspects import drawing, encoded

TOO_LARGE, UNDECODABLE = RejectionReason.IMAGE_TOO_LARGE, RejectionReason.IMAGE_UNDECODABLE
WHOLE = {
    "PNG": encoded(drawing(1)),
    "JPEG": encoded(drawing(1), "JPEG", quality=90),
    "progressive JPEG": encoded(drawing(1), "JPEG", quality=90, progressive=True),
    "WEBP": encoded(drawing(1), "WEBP", quality=80),
    "lossless WEBP": encoded(drawing(1), "WEBP", lossless=True),
    "extended WEBP": encoded(drawing(1).convert("RGBA"), "WEBP", exif=b"Exif\0\0" + b"\0" * 20),
    "palette PNG": encoded(drawing(1).quantize(16)),
    "grey JPEG": encoded(drawing(1).convert("L"), "JPEG"),
}


def decoded(payload: bytes) -> DecodedImage:
    return decode_image(payload, max_bytes=200_000, max_pixels=1_000_000)


def refused(payload: bytes) -> RejectionReason:
    with pytest.raises(ImageRefused) as caught:
        decoded(payload)
    assert caught.value.detail
    return caught.value.reason


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(side: int) -> bytes:
    """A PNG that claims side × side pixels and holds as many, well packed."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 + side // 8)) for _ in range(200)) + packed.flush()
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", WHOLE)
def test_whole_images_of_the_allowed_formats_pass(form: str) -> None:
    image = decoded(WHOLE[form])
    assert (image.width_px, image.height_px) == (64, 64)
    assert image.preview.shape == (64, 64, 3)


def test_lossless_copies_have_the_same_pixels_whatever_the_format() -> None:
    assert len({decoded(WHOLE[form]).pixels_sha256 for form in ("PNG", "lossless WEBP")}) == 1
    assert decoded(encoded(drawing(1), compress_level=1)).pixels_sha256 == decoded(WHOLE["PNG"]).pixels_sha256
    assert decoded(encoded(drawing(2))).pixels_sha256 != decoded(WHOLE["PNG"]).pixels_sha256


def test_a_bomb_is_refused_at_once_and_in_little_memory() -> None:
    payload = bomb(50_000)
    tracemalloc.start()
    started = time.perf_counter()
    reason = refused(payload)
    elapsed_s, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reason is TOO_LARGE
    assert elapsed_s < 0.1
    assert peak < 1_000_000


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_the_pixel_cap_holds_for_every_format(form: str) -> None:
    assert refused(encoded(Image.new("RGB", (1001, 1000)), form)) is TOO_LARGE


def test_the_byte_cap_holds() -> None:
    assert refused(WHOLE["PNG"] + bytes(200_000)) is TOO_LARGE


@pytest.mark.parametrize("form", WHOLE)
def test_an_image_cut_off_anywhere_is_refused(form: str) -> None:
    payload = WHOLE[form]
    for end in {0, 4, 11, 20, 30, len(payload) // 3, len(payload) // 2, len(payload) - 12, len(payload) - 2, len(payload) - 1}:
        assert refused(payload[:end]) is UNDECODABLE, end


@pytest.mark.parametrize("form", WHOLE)
def test_bytes_hidden_behind_the_picture_are_refused(form: str) -> None:
    assert refused(WHOLE[form] + b"PK\x03\x04hidden archive") is UNDECODABLE


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO", "PPM", "PDF"])
def test_other_formats_are_refused_whatever_they_are_called(form: str) -> None:
    assert refused(encoded(drawing(1), form)) is UNDECODABLE


def test_markup_and_a_disguised_gif_are_refused() -> None:
    gif = encoded(drawing(1), "GIF")
    for payload in (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"",
        b"\x89PNG\r\n\x1a\n" + gif,
        b"\xff\xd8\xff" + gif,
        b"RIFF0000WEBP" + gif,
    ):
        assert refused(payload) is UNDECODABLE


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animations_are_refused(form: str) -> None:
    assert refused(encoded(drawing(1), form, save_all=True, append_images=[drawing(2)], duration=100)) is UNDECODABLE


def test_a_corrupted_chunk_is_refused() -> None:
    payload = bytearray(WHOLE["PNG"])
    payload[len(payload) // 2] ^= 0xFF
    assert refused(bytes(payload)) is UNDECODABLE


def test_what_a_model_would_see_clipped_or_could_not_take_is_refused() -> None:
    deep = Image.new("I;16", (8, 8))
    assert refused(encoded(deep)) is UNDECODABLE
    assert refused(encoded(Image.new("RGB", (1000, 2)))) is UNDECODABLE


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_damage_does_anything_but_refuse_or_decode(data: st.DataObject) -> None:
    payload = bytearray(data.draw(st.sampled_from(list(WHOLE.values()))))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(payload) - 1, 400)))
        payload[at] = data.draw(st.integers(0, 255))
    del payload[data.draw(st.integers(len(payload) // 2, len(payload))) :]
    try:
        image = decoded(bytes(payload))
    except ImageRefused:
        return
    assert image.width_px * image.height_px <= 1_000_000
    assert Image.open(io.BytesIO(bytes(payload))).size == (image.width_px, image.height_px)
