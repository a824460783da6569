"""What becomes of colours: wide gamuts and inks end as sRGB, and a profile of no use or of ill will spoils nothing."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image, ImageCms

from shared.images.decoding import ImageRefused
from shared.images.intake import IntakeCaps, take_in
from tests.unit.pool.pictures import chunk, encoded, photo

CAPS = IntakeCaps()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NAME = "sRGB built-in".encode("utf-16-be")
SIZE = (64, 64)


def renamed(profile: bytes) -> bytes:
    """Under a name that nobody takes for sRGB."""
    return profile.replace(NAME, "some monitor.".encode("utf-16-be"))


SWAPPED = renamed(SRGB).replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
"""What it calls red is green to everybody else."""


def with_tag(profile: bytes, tag: bytes, content: bytes) -> bytes:
    """One tag more, at the end."""
    (num_tags,) = struct.unpack_from(">I", profile, 128)
    moved = 132 + 12 * num_tags
    table = b"".join(
        struct.pack(">4sII", name, at + 12, length) for name, at, length in struct.iter_unpack(">4sII", profile[132:moved])
    ) + struct.pack(">4sII", tag, len(profile) + 12, len(content))
    body = struct.pack(">I", num_tags + 1) + table + profile[moved:] + content
    return struct.pack(">I", 128 + len(body)) + profile[4:128] + body


def shown(payload: bytes) -> tuple[int, ...]:
    pixel = Image.open(io.BytesIO(take_in(payload, CAPS).image)).getpixel((20, 20))
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "P", {}), ("JPEG", "RGB", {"quality": 95}), ("WEBP", "RGB", {"lossless": True})],
)
def test_colours_are_what_the_profile_says(form: str, mode: str, options: dict[str, object]) -> None:
    red = Image.new("RGB", SIZE, (200, 30, 40))
    image = red.quantize(4) if mode == "P" else red.convert(mode)
    assert shown(encoded(image, form, icc_profile=SWAPPED, **options)) == pytest.approx((30, 200, 40), abs=4)


def test_what_is_srgb_already_keeps_every_value() -> None:
    image = photo(3)
    for profile in (SRGB, None):
        kept = Image.open(io.BytesIO(take_in(encoded(image, "PNG", icc_profile=profile), CAPS).image))
        assert kept.tobytes() == image.tobytes()


@pytest.mark.parametrize("profile", [b"", b"\0", b"no profile" * 50, SRGB[:200], SWAPPED[:300], bytes(5_000_000), b"\xff" * 600])
def test_a_profile_of_no_use_spoils_nothing(profile: bytes) -> None:
    image = photo(3)
    kept = Image.open(io.BytesIO(take_in(encoded(image, "WEBP", lossless=True, icc_profile=profile), CAPS).image))
    assert kept.tobytes() == image.tobytes()


def test_a_profile_that_would_be_worked_on_for_minutes_is_left_alone() -> None:
    step = b"matf\0\0\0\0" + struct.pack(">HH12f", 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    num = 30_000
    steps = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, num) + struct.pack(">II", 16 + 8 * num, len(step)) * num + step
    started = time.perf_counter()
    image = photo(3)
    taken = take_in(encoded(image, "PNG", icc_profile=with_tag(SWAPPED, b"D2B0", steps)), CAPS)
    assert time.perf_counter() - started < 5
    assert Image.open(io.BytesIO(taken.image)).tobytes() == image.tobytes()


def test_grey_stays_grey_whatever_its_profile() -> None:
    grey = photo(4).convert("L")
    kept = Image.open(io.BytesIO(take_in(encoded(grey, "PNG", icc_profile=SWAPPED), CAPS).image))
    assert (kept.mode, kept.tobytes()) == ("L", grey.tobytes())


@pytest.mark.parametrize("profile", [None, SWAPPED, SRGB])
def test_inks_become_red_green_and_blue(profile: bytes | None) -> None:
    inks = Image.new("CMYK", SIZE, (0, 255, 255, 0))
    assert shown(encoded(inks, "JPEG", quality=95, icc_profile=profile)) == pytest.approx((255, 0, 0), abs=8)


def test_inks_are_what_their_profile_says() -> None:
    # A printer on which whatever there is of the four gives the same grey: a table of two steps an ink, bare paper first.
    paper, grey, as_it_is = b"\xff\x80\x80", b"\x80\x80\x80", bytes(range(256))
    unmixed = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unmixed + as_it_is * 4 + paper + grey * 15 + as_it_is * 3
    printer = with_tag(renamed(SRGB[:12] + b"prtrCMYKLab " + SRGB[24:]), b"A2B0", table)
    red, green, blue = shown(encoded(Image.new("CMYK", SIZE, (0, 255, 255, 0)), "JPEG", quality=95, icc_profile=printer))
    assert max(red, green, blue) - min(red, green, blue) < 8
    assert 100 < green < 140


def test_sixteen_bits_of_red_green_and_blue_become_eight_and_of_grey_are_refused() -> None:
    red = struct.pack(">3H", 0xC8FF, 0x1E00, 0x2880)
    for color_type, row in ((2, red * 8), (6, (red + b"\xff\xff") * 8)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, color_type, 0, 0, 0))
        payload = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress((b"\0" + row) * 8)) + chunk(b"IEND", b"")
        assert Image.open(io.BytesIO(take_in(payload, CAPS).image)).getpixel((4, 4)) == (0xC8, 0x1E, 0x28)
    with pytest.raises(ImageRefused, match="use 8 bits a channel"):
        take_in(encoded(Image.new("I;16", SIZE, 40_000), "PNG"), CAPS)


def test_grey_with_transparency_stands_on_white() -> None:
    drawn = Image.new("LA", SIZE, (0, 0))
    drawn.paste((90, 255), (10, 10, 30, 30))
    image = Image.open(io.BytesIO(take_in(encoded(drawn, "PNG"), CAPS).image))
    assert (image.getpixel((50, 50)), image.getpixel((20, 20))) == ((255, 255, 255), (90, 90, 90))
