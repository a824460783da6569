"""Which images are decoded, and which are refused before they can do harm."""

import io
import struct
import zlib

import pytest
from PIL import Image

from services.evaluator.images import UnreadableImage, decode_image


def encoded(image_format: str, size: tuple[int, int] = (16, 12), mode: str = "RGB") -> bytes:
    sink = io.BytesIO()
    Image.new(mode, size).save(sink, format=image_format)
    return sink.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(b"\0" * 64)) + part(b"IEND", b"")


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_allowed_formats_become_rgb(image_format: str) -> None:
    image = decode_image(encoded(image_format), max_pixels=1000)
    assert (image.mode, image.size) == ("RGB", (16, 12))


def test_transparency_and_palettes_become_rgb() -> None:
    assert {decode_image(encoded("PNG", mode=mode), max_pixels=1000).mode for mode in ("RGBA", "P", "L", "1")} == {"RGB"}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "not a PNG"),
        (b"hello", "not a PNG"),
        (encoded("GIF"), "not a PNG"),
        (encoded("TIFF"), "not a PNG"),
        (encoded("JPEG", (64, 64))[:-20], "truncated"),
        (encoded("PNG", (64, 64))[:60], "truncated"),
        (png_that_claims(50_000, 50_000), "pixels"),
        (png_that_claims(2_000_000_000, 2), "header|pixels"),
    ],
)
def test_anything_else_is_refused_with_a_reason(payload: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        decode_image(payload, max_pixels=1 << 20)
