"""Pictures that look like photos to an encoder, and files that only claim to be pictures."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageFilter

from shared.artifacts import blob_ref
from shared.domain import ImageCategory
from shared.pool import PoolImage

ORIENTATION, GPS, MAKER = 0x0112, 0x8825, 0x010F


def photo(seed: int, width: int = 96, height: int | None = None) -> Image.Image:
    """Smooth structure at all scales with a little grain; another one for each seed."""
    rng = np.random.default_rng(seed)
    size = (width, height or width)
    layers = []
    for cells in (3, 6, 12, 24, 48):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layers.append(np.asarray(noise.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / cells**0.7)
    values = sum(layers) + rng.normal(0, 0.5, (size[1], size[0], 1))
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) / (high - low) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.4))


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def tagged(image: Image.Image, orientation: int, form: str = "JPEG", **options: object) -> bytes:
    """With EXIF: an orientation, a camera's maker and where it stood."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[MAKER] = "Camera of Ms Doe"
    exif.get_ifd(GPS)[2] = (48.0, 8.0, 15.0)
    return encoded(image, form, exif=exif, **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(side: int) -> bytes:
    """A PNG that claims side × side pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def jpeg_bomb(side: int) -> bytes:
    """A JPEG whose header claims side × side pixels."""
    sound = encoded(photo(1))
    at = sound.index(b"\xff\xc0") + 5
    return sound[:at] + struct.pack(">HH", side, side) + sound[at + 4 :]


BAD_FILES = {
    "bomb.png": png_bomb(50_000),
    "bomb.jpg": jpeg_bomb(50_000),
    "zip-behind.jpg": encoded(photo(2)) + b"PK\x03\x04" + b"\0" * 50,
    "html-behind.png": encoded(photo(2), "PNG") + b"<script>alert(1)</script>",
    "cut.jpg": encoded(photo(3))[:-200],
    "cut.png": encoded(photo(3), "PNG")[:-200],
    "cut.webp": encoded(photo(3), "WEBP")[:-200],
    "still.gif": encoded(photo(4), "GIF"),
    "moving.gif": encoded(photo(4), "GIF", save_all=True, append_images=[photo(5)]),
    "moving.webp": encoded(photo(4), "WEBP", save_all=True, append_images=[photo(5)]),
    "moving.png": encoded(photo(4), "PNG", save_all=True, append_images=[photo(5)]),
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "paper.pdf": b"%PDF-1.7\n%%EOF",
    "lies.jpg": b"no picture at all",
    "empty.jpg": b"",
}
"""None of them is an image for the pool."""


def pool_image(
    number: int, caption: str = "", *, category: ImageCategory | None = None, source: str = "some", perceptual_hash: int = 0
) -> PoolImage:
    """A row without blobs behind it."""
    digest, thumbnail, original = (f"{part}{number:062x}" for part in ("aa", "bb", "cc"))
    return PoolImage(
        image_sha256=digest,
        image=blob_ref(digest, 1000 + number),
        thumbnail=blob_ref(thumbnail, 100),
        width_px=64,
        height_px=48,
        source=source,
        licence="CC0-1.0",
        caption=caption,
        category=category,
        perceptual_hash=perceptual_hash,
        original_sha256=original,
        page_url="https://www.example.org/page",
        domain="example.org",
        origin=f"{number:06}.jpg",
    )
