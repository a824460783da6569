"""Decoding images that others made, safely: caps on bytes and pixels come before any pixel is unpacked."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from shared.domain import RejectionReason
from shared.images.headers import BrokenImage, ImageHeader, check_whole, read_header

MAX_ASPECT_RATIO = 200
"""The image processors of the Qwen-VL family refuse anything longer."""

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_PREVIEW_PX = 512
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")


class ImageRefused(Exception):
    """An image that may not be shown to a model, with the reason to count."""

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class DecodedImage:
    """What fingerprints need of an image, without keeping its pixels."""

    format: str
    width_px: int
    height_px: int
    pixels_sha256: str
    """Over size and RGB pixels: equal for lossless copies in whatever format."""
    preview: Pixels
    """Luma and two colour differences, height × width × 3; the shorter side has less than 1,024 pixels."""


def check_size(payload: bytes, *, max_bytes: int, max_pixels: int) -> ImageHeader:
    """The header of an image within the caps.

    Raises:
        ImageRefused: more bytes or pixels than allowed, or no PNG, JPEG or WEBP.
    """
    if len(payload) > max_bytes:
        raise ImageRefused(RejectionReason.IMAGE_TOO_LARGE, f"{len(payload):,} bytes are more than the cap of {max_bytes:,}")
    try:
        header = read_header(payload)
    except BrokenImage as error:
        raise ImageRefused(RejectionReason.IMAGE_UNDECODABLE, str(error)) from error
    width, height = header.width_px, header.height_px
    if width * height > max_pixels:
        detail = f"{width:,}×{height:,} = {width * height:,} px are more than the cap of {max_pixels:,}"
        raise ImageRefused(RejectionReason.IMAGE_TOO_LARGE, detail)
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        detail = f"{width:,}×{height:,} px: one side is more than {MAX_ASPECT_RATIO} times the other"
        raise ImageRefused(RejectionReason.IMAGE_UNDECODABLE, detail)
    return header


def decode_image(payload: bytes, *, max_bytes: int, max_pixels: int) -> DecodedImage:
    """An image that is whole, still, within the caps and of an allowed format.

    Raises:
        ImageRefused: with the reason and what was seen.
    """
    name, rgb = unpack_image(payload, lambda image: (str(image.format), image.convert("RGB")), max_bytes=max_bytes, max_pixels=max_pixels)
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height}:".encode())
    digest.update(rgb.tobytes())
    factor = max(1, min(rgb.size) // _PREVIEW_PX)
    small = rgb.reduce(factor) if factor > 1 else rgb
    return DecodedImage(
        format=name,
        width_px=rgb.width,
        height_px=rgb.height,
        pixels_sha256=digest.hexdigest(),
        preview=np.asarray(small.convert("YCbCr"), dtype=np.uint8),
    )


def unpack_image(payload: bytes, unpack: Callable[[Image.Image], T], *, max_bytes: int, max_pixels: int) -> T:
    """What `unpack` makes of an opened image that is whole, still, within the caps and of an allowed format.

    Args:
        payload: the bytes, from anybody.
        unpack: reads the pixels of the opened image; what a decoder raises there means that the image does not decode.
        max_bytes: cap on the bytes.
        max_pixels: cap on width × height, checked before any pixel is unpacked.

    Raises:
        ImageRefused: with the reason and what was seen.
    """
    header = check_size(payload, max_bytes=max_bytes, max_pixels=max_pixels)
    try:
        check_whole(payload, header)
        return _unpacked(payload, header, unpack)
    except BrokenImage as error:
        raise ImageRefused(RejectionReason.IMAGE_UNDECODABLE, str(error)) from error


def _unpacked(payload: bytes, header: ImageHeader, unpack: Callable[[Image.Image], T]) -> T:
    try:
        image = Image.open(io.BytesIO(payload), formats=(header.format,))
        if image.format != header.format or image.size != (header.width_px, header.height_px):
            raise BrokenImage(f"the {header.format} contradicts its header: {image.format} of {image.width}×{image.height} px")
        if getattr(image, "n_frames", 1) != 1:
            raise BrokenImage(f"the {header.format} is animated")
        if image.mode not in _MODES:
            raise BrokenImage(f"the {header.format} has pixels of mode {image.mode}, which models see clipped: use 8 bits a channel")
        return unpack(image)
    except _DECODER_ERRORS as error:
        raise BrokenImage(f"the {header.format} does not decode: {error}") from error
