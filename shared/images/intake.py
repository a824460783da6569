"""Making a pool image out of bytes from anybody: checked, upright, opaque, in sRGB, without metadata, hashed, with a thumbnail.

Pure. What is kept is encoded anew from decoded pixels, so nothing else of the file comes along.

What was lossless (PNG, lossless WEBP) becomes PNG; what was lossy becomes JPEG of quality 95 without chroma subsampling, which nobody
sees a second loss in. Transparent parts turn white, as on a page. Rooms and models read bare values, so colours are brought to sRGB from
what the file's profile says they are. Of a file of several JPEGs, as phones write them, the first one is taken: see `first_picture.py`.
"""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from shared.images.colours import in_srgb
from shared.images.decoding import check_size, unpack_image
from shared.images.first_picture import first_picture
from shared.images.perceptual_hash import perceptual_hash

THUMBNAIL_PX = 256
_HASHED_PX = 128
_JPEG: dict[str, Any] = {"format": "JPEG", "quality": 95, "subsampling": 0}
# Higher levels take two to six times as long and save a twentieth on photos; see tests/bench/bench_pool.py.
_PNG: dict[str, Any] = {"format": "PNG", "compress_level": 1}
_THUMBNAIL: dict[str, Any] = {"format": "JPEG", "quality": 85}

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class IntakeCaps:
    """What is decoded at all, and how large it may stand in the pool."""

    max_bytes: int = 32_000_000
    max_pixels: int = 33_554_432
    """Width × height as the header claims it, before any pixel is unpacked."""
    max_side_px: int = 2048
    """Larger images are scaled down to it: the default is what quality lets pass at its own default."""


@dataclass(frozen=True, slots=True)
class Intake:
    """A pool image and its thumbnail as bytes."""

    image: bytes
    thumbnail: bytes
    width_px: int
    height_px: int
    perceptual_hash: int


def take_in(payload: bytes, caps: IntakeCaps) -> Intake:
    """The pool image that a file becomes.

    Raises:
        ImageRefused: with the reason and what was seen.
    """
    pixels = unpack_pixels(payload, caps)
    thumbnail = pixels.copy()
    thumbnail.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BICUBIC, reducing_gap=1.0)
    return Intake(
        image=_encoded(pixels, _PNG if is_lossless(payload) else _JPEG),
        thumbnail=_encoded(thumbnail, _THUMBNAIL),
        width_px=pixels.width,
        height_px=pixels.height,
        perceptual_hash=perceptual_hash(pixels),
    )


def unpack_pixels(payload: bytes, caps: IntakeCaps, *, draft_px: int | None = None) -> Image.Image:
    """The pixels that stand in the pool: RGB in sRGB or grey, upright, opaque, no larger than the caps say, with nothing beside them.

    Args:
        payload: the bytes, from anybody.
        caps: what is decoded, and how large the pixels may be.
        draft_px: so many pixels a side are enough, which decoders of JPEG can be fast about; where None all that the caps allow.

    Raises:
        ImageRefused: with the reason and what was seen.
    """

    def unpack(image: Image.Image) -> Image.Image:
        upright = _UPRIGHT.get(_orientation(image))
        # A decoder of JPEG scales by halves while it decodes, which bounds the memory of large photos.
        enough = draft_px or caps.max_side_px
        image.draft(None, (enough, enough))
        pixels = _opaque(image)
        pixels.thumbnail((caps.max_side_px, caps.max_side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
        if pixels.mode != "L":
            pixels = in_srgb(pixels, image.info.get("icc_profile"))
        pixels = pixels if upright is None else pixels.transpose(upright)
        # Encoders write what they find here: comments, colour profiles, resolutions.
        pixels.info = {}
        return pixels

    # The caps are on the whole file, which is walked only where it keeps them.
    check_size(payload, max_bytes=caps.max_bytes, max_pixels=caps.max_pixels)
    return unpack_image(first_picture(payload), unpack, max_bytes=caps.max_bytes, max_pixels=caps.max_pixels)


def hash_of(payload: bytes, caps: IntakeCaps) -> int:
    """The perceptual hash of a file, equal to that of the pool image that it becomes but for a bit or two.

    Raises:
        ImageRefused: with the reason and what was seen.
    """
    return perceptual_hash(unpack_pixels(payload, caps, draft_px=_HASHED_PX))


def is_lossless(payload: bytes) -> bool:
    """Whether a PNG, JPEG or WEBP that was checked keeps its pixels as they were made."""
    if payload[:4] != b"RIFF":
        return payload.startswith(b"\x89PNG")
    at = 12
    while at + 8 <= len(payload):
        kind = payload[at : at + 4]
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        length = int.from_bytes(payload[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return False


def _orientation(image: Image.Image) -> int:
    # Pillow warns of broken metadata and reads none; the pixels may be sound all the same.
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        painted = image.convert("RGBA")
        page = Image.new("RGBA", painted.size, "white")
        page.alpha_composite(painted)
        return page.convert("RGB")
    # A profile of CMYK says what those four are as RGB, which no formula knows.
    if image.mode in ("L", "RGB", "CMYK"):
        image.load()
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _encoded(image: Image.Image, how: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    image.save(sink, **how)
    return sink.getvalue()
