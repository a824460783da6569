"""Every planted bomb, polyglot and damaged file is refused, at once and in little memory."""

import struct
import time
import tracemalloc
import zlib

import pytest

from shared.domain import RejectionReason
from shared.images.decoding import ImageRefused, decode_image
from shared.images.headers import BrokenImage, check_whole, read_header
from tests.planted.broken_images import bombs, chunk, damaged, png, polyglots

BROKEN = bombs() | polyglots() | damaged()


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_refused(name: str) -> None:
    tracemalloc.start()
    started = time.thread_time()
    with pytest.raises(ImageRefused) as refusal:
        decode_image(BROKEN[name], max_bytes=8_000_000, max_pixels=4_194_304)
    elapsed_s, peak = time.thread_time() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.reason in (RejectionReason.IMAGE_TOO_LARGE, RejectionReason.IMAGE_UNDECODABLE)
    assert elapsed_s < 1
    assert peak < 20_000_000


def test_rows_may_take_as_many_bytes_as_the_header_says_and_no_more() -> None:
    rows = b"".join(b"\0" + bytes(48) for _ in range(9))
    decode_image(png(16, 9, zlib.compress(rows)), max_bytes=10_000, max_pixels=1000)
    for more in (rows + b"\0", rows + bytes(1 << 20)):
        payload = png(16, 9, zlib.compress(more))
        with pytest.raises(BrokenImage, match="unpacks to more"):
            check_whole(payload, read_header(payload))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (8, 8), (9, 17)])
def test_interlaced_pictures_are_whole_too(width: int, height: int) -> None:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for left, top, across, down in passes:
        columns, lines = len(range(left, width, across)), len(range(top, height, down))
        rows += (b"\0" + bytes(3 * columns)) * lines if columns else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
    whole = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert decode_image(whole, max_bytes=10_000, max_pixels=1000).width_px == width
    more = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows + b"\0")) + chunk(b"IEND", b"")
    with pytest.raises(BrokenImage):
        check_whole(more, read_header(more))
