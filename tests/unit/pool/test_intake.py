"""What becomes of a file that is brought: upright, opaque, bare pixels, or a refusal with its reason; never an unpacked bomb."""

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.domain import RejectionReason
from shared.images.decoding import ImageRefused
from shared.images.intake import THUMBNAIL_PX, IntakeCaps, hash_of, take_in
from shared.images.perceptual_hash import hamming
from tests.unit.pool.pictures import BAD_FILES, encoded, photo, png_bomb, tagged

CAPS = IntakeCaps()
TRANSPOSED = {5, 6, 7, 8}


def opened(payload: bytes) -> Image.Image:
    return Image.open(io.BytesIO(payload))


def difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(np.asarray(first.convert("RGB"), dtype=int) - np.asarray(second.convert("RGB"), dtype=int)).mean())


def segments_of_jpeg(payload: bytes) -> set[int]:
    """Its application and comment segments."""
    found, at = set(), 2
    while payload[at + 1] != 0xDA:
        found.add(payload[at + 1])
        at += 2 + int.from_bytes(payload[at + 2 : at + 4], "big")
    return {marker for marker in found if 0xE0 <= marker <= 0xEF or marker == 0xFE}


def chunks_of_png(payload: bytes) -> set[bytes]:
    found, at = set(), 8
    while at < len(payload):
        found.add(payload[at + 4 : at + 8])
        at += 12 + int.from_bytes(payload[at : at + 4], "big")
    return found


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_whole_still_image_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        take_in(BAD_FILES[name], CAPS)
    is_bomb = name.startswith("bomb")
    assert caught.value.reason is (RejectionReason.IMAGE_TOO_LARGE if is_bomb else RejectionReason.IMAGE_UNDECODABLE)
    assert caught.value.detail


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf" + bytes(50), "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(50), "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif" + bytes(50), "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"heic", "a video"),
        (b"\0\0\0\x0cftypqt  ", "a video"),
        (b"\xff\x0a" + bytes(50), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL"),
        (encoded(photo(4), "GIF", save_all=True, append_images=[photo(5)]), "GIF"),
        (encoded(photo(4), "TIFF"), "TIFF"),
        (b"\0\0\0\x18fty", "of unknown format"),
    ],
)
def test_a_refusal_names_the_format(payload: bytes, name: str) -> None:
    with pytest.raises(ImageRefused, match=f"^{name}: images must be PNG, JPEG or WEBP$"):
        take_in(payload, CAPS)


def test_a_refusal_says_that_an_image_moves() -> None:
    for form in ("PNG", "WEBP"):
        with pytest.raises(ImageRefused, match=f"^the {form} is animated$"):
            take_in(encoded(photo(4), form, save_all=True, append_images=[photo(5)]), CAPS)


def test_no_pixel_of_a_bomb_is_unpacked() -> None:
    payload = png_bomb(50_000)
    tracemalloc.start()
    with pytest.raises(ImageRefused):
        take_in(payload, CAPS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_turned_photo_stands_upright(orientation: int, form: str) -> None:
    # A camera that was held so stores these pixels: undoing what the tag says must give the upright photo back.
    upright = photo(7, 120, 80)
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if undo is None else upright.transpose(undo)
    options = {"quality": 95} if form != "PNG" else {}
    taken = take_in(tagged(stored, orientation, form, **options), CAPS)
    assert (taken.width_px, taken.height_px) == (120, 80)
    assert difference(opened(taken.image), upright) < 6
    assert difference(opened(taken.thumbnail), upright) < 8


def test_nothing_of_a_jpegs_metadata_is_left() -> None:
    icc = b"profile of Ms Doe" * 20
    payload = tagged(photo(8), 1, icc_profile=icc, comment=b"secret comment", dpi=(300, 300), quality=92)
    assert b"Ms Doe" in payload and b"secret comment" in payload
    taken = take_in(payload, CAPS)
    for image in (taken.image, taken.thumbnail):
        # JFIF's own header is the only one.
        assert segments_of_jpeg(image) == {0xE0}
        assert not opened(image).getexif()
        assert b"Ms Doe" not in image and b"secret comment" not in image


def test_nothing_of_a_pngs_metadata_is_left() -> None:
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_text("Author", "Ms Doe")
    notes.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>Ms Doe</x:xmpmeta>")
    payload = tagged(photo(8), 1, "PNG", pnginfo=notes, icc_profile=b"profile of Ms Doe" * 20, dpi=(300, 300))
    assert chunks_of_png(payload) >= {b"eXIf", b"iCCP", b"tEXt", b"pHYs"}
    assert chunks_of_png(take_in(payload, CAPS).image) == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.parametrize(
    ("payload", "form"),
    [
        (encoded(photo(9), "PNG"), "PNG"),
        (encoded(photo(9).convert("L"), "PNG"), "PNG"),
        (encoded(photo(9).quantize(32), "PNG"), "PNG"),
        (encoded(photo(9).convert("1"), "PNG"), "PNG"),
        (encoded(photo(9), "WEBP", lossless=True), "PNG"),
        (encoded(photo(9).convert("RGBA"), "WEBP", lossless=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"), "PNG"),
        (encoded(photo(9)), "JPEG"),
        (encoded(photo(9), progressive=True), "JPEG"),
        (encoded(photo(9).convert("L")), "JPEG"),
        (encoded(photo(9).convert("CMYK")), "JPEG"),
        (encoded(photo(9), "WEBP", quality=80), "JPEG"),
    ],
)
def test_lossless_images_keep_every_pixel_and_lossy_ones_look_the_same(payload: bytes, form: str) -> None:
    taken = take_in(payload, CAPS)
    image = opened(taken.image)
    assert image.format == form
    assert image.mode in ("L", "RGB")
    apart = difference(image, opened(payload).convert("RGB"))
    assert apart == 0 if form == "PNG" else apart < 2


def test_what_is_transparent_turns_white() -> None:
    # Black under transparency is what drawing programs leave, and what a plain conversion would show.
    drawn = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    drawn.paste((200, 30, 30, 255), (10, 10, 30, 30))
    paletted = Image.new("P", (64, 64), 0)
    paletted.putpalette([0, 0, 0, 200, 30, 30])
    paletted.paste(1, (10, 10, 30, 30))
    for payload in (encoded(drawn, "PNG"), encoded(paletted, "PNG", transparency=0), encoded(drawn, "WEBP", lossless=True)):
        image = opened(take_in(payload, CAPS).image)
        assert image.getpixel((50, 50)) == (255, 255, 255)
        assert image.getpixel((20, 20)) == (200, 30, 30)


@pytest.mark.parametrize("size", [(3000, 1000), (1000, 3000), (5000, 120)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_large_images_are_scaled_down(size: tuple[int, int], form: str) -> None:
    image = photo(10, 300, 300).resize(size)
    taken = take_in(encoded(image, form), IntakeCaps(max_side_px=1024))
    factor = 1024 / max(size)
    assert opened(taken.image).size == (taken.width_px, taken.height_px)
    assert max(taken.width_px, taken.height_px) <= 1024
    assert (taken.width_px, taken.height_px) == pytest.approx((size[0] * factor, size[1] * factor), abs=1.5)
    assert hamming(taken.perceptual_hash, hash_of(encoded(image, form), CAPS)) <= 4


def test_caps_on_bytes_and_pixels() -> None:
    payload = encoded(photo(11), "PNG")
    for caps in (IntakeCaps(max_bytes=len(payload) - 1), IntakeCaps(max_pixels=96 * 96 - 1)):
        with pytest.raises(ImageRefused) as caught:
            take_in(payload, caps)
        assert caught.value.reason is RejectionReason.IMAGE_TOO_LARGE
    take_in(payload, IntakeCaps(max_bytes=len(payload), max_pixels=96 * 96))


@pytest.mark.parametrize("size", [(1, 1), (7, 200), (4000, 300)])
def test_thumbnails_fit(size: tuple[int, int]) -> None:
    thumbnail = opened(take_in(encoded(photo(12).resize(size), "PNG"), CAPS).thumbnail)
    assert thumbnail.format == "JPEG"
    assert max(thumbnail.size) == min(max(size), THUMBNAIL_PX)


@pytest.mark.parametrize("junk", [b"", b"MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 30])
def test_broken_exif_spoils_no_sound_pixels(junk: bytes) -> None:
    taken = take_in(encoded(photo(13), exif=b"Exif\0\0" + junk), CAPS)
    assert (taken.width_px, taken.height_px) == (96, 96)


def test_an_image_that_was_taken_in_is_taken_in_as_it_is() -> None:
    taken = take_in(encoded(photo(14), "PNG"), CAPS)
    assert take_in(taken.image, CAPS).image == taken.image


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})]), st.data())
def test_bytes_that_were_tampered_with_are_refused_or_taken(form: tuple[str, dict[str, object]], data: st.DataObject) -> None:
    payload = bytearray(tagged(photo(15, 40), 6, form[0], **form[1]))
    for _ in range(data.draw(st.integers(1, 6))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        taken = take_in(bytes(payload), IntakeCaps(max_pixels=100_000))
    except ImageRefused as error:
        assert error.detail
    else:
        assert opened(taken.image).size == (taken.width_px, taken.height_px)
