"""Images that do harm or lie: bombs, other formats in disguise, files with something behind the picture, and damaged ones."""

import io
import struct
import zipfile
import zlib

from PIL import Image

from tests.planted.copies import encoded

_PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width_px: int, height_px: int, rows: bytes, *, bits: int = 8, color_type: int = 2) -> bytes:
    """A PNG with that header, whatever its packed rows hold."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, bits, color_type, 0, 0, 0))
    return _PNG + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _packed(num_bytes: int) -> bytes:
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(num_bytes >> 20)) + packer.flush()


def _picture() -> Image.Image:
    gradient = Image.linear_gradient("L").resize((96, 96))
    return Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180)))


def _patched(payload: bytes, at: int, content: bytes) -> bytes:
    return payload[:at] + content + payload[at + len(content) :]


def bombs() -> dict[str, bytes]:
    """Files that are small and claim or hold far too much."""
    jpeg, webp = encoded(_picture(), "JPEG"), encoded(_picture(), "WEBP", lossless=True)
    frame = jpeg.index(b"\xff\xc0")
    profile = chunk(b"iCCP", b"profile\0\0" + _packed(64 << 20))
    text = chunk(b"zTXt", b"comment\0\0" + _packed(64 << 20))
    small = encoded(_picture())
    return {
        "PNG of 50,000 × 50,000 px": png(50_000, 50_000, _packed(64 << 20), bits=1, color_type=0),
        "PNG of 2³¹−1 px a side": png(2**31 - 1, 2**31 - 1, zlib.compress(b"")),
        "PNG that unpacks to more than it claims": png(16, 16, _packed(256 << 20)),
        "PNG of one row of 8 million px": png(8_000_000, 1, _packed(8 << 20), bits=1, color_type=0),
        "PNG with a profile of 64 MiB": small[:33] + profile + small[33:],
        "PNG with a comment of 64 MiB": small[:33] + text + small[33:],
        "JPEG that claims 65,500 × 65,500 px": _patched(jpeg, frame + 5, struct.pack(">HH", 65_500, 65_500)),
        "WEBP that claims 16,383 × 16,383 px": _patched(webp, 21, struct.pack("<I", 0x3FFF - 1 | (0x3FFF - 1) << 14)),
        "PNG of 3,000 frames": encoded(_picture().resize((8, 8)), save_all=True, append_images=[_picture().resize((8, 8))] * 3000),
    }


def polyglots() -> dict[str, bytes]:
    """Files that are a picture and something else as well, or only something else."""
    small, jpeg, webp = encoded(_picture()), encoded(_picture(), "JPEG"), encoded(_picture(), "WEBP")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("payload.txt", "hidden")
    gif = encoded(_picture(), "GIF")
    script = b"<html><script>alert(1)</script></html>"
    return {
        "PNG and ZIP": small + archive.getvalue(),
        "JPEG and ZIP": jpeg + archive.getvalue(),
        "WEBP and ZIP": webp + archive.getvalue(),
        "JPEG and HTML": jpeg + script,
        "PNG and a shell script": small + b"\n#!/bin/sh\nrm -rf /\n",
        "two JPEGs": jpeg + jpeg,
        "two PNGs": small + small,
        "GIF and JavaScript": b"GIF89a/*" + gif[8:] + b"*/=1;alert(1)",
        "PNG before a PDF": small + b"%PDF-1.7\n%%EOF",
        "PDF with a JPEG": b"%PDF-1.7\n" + jpeg,
        "SVG with a script": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "SVG called PNG": _PNG + b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "HTML": script,
        "GIF called JPEG": b"\xff\xd8\xff" + gif,
        "BMP": encoded(_picture(), "BMP"),
        "TIFF": encoded(_picture(), "TIFF"),
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "text": b"a picture of a cat",
        "ELF": b"\x7fELF\x02\x01\x01" + bytes(64),
    }


def damaged() -> dict[str, bytes]:
    """Pictures that are cut off, flipped or moving."""
    small, jpeg, webp = encoded(_picture()), encoded(_picture(), "JPEG"), encoded(_picture(), "WEBP")
    cut = {
        f"{name} cut to {share} %": whole[: len(whole) * share // 100] for name, whole in _named(small, jpeg, webp) for share in (1, 50, 99)
    }
    frames = [_picture().rotate(90)]
    return {
        **cut,
        "PNG with a flipped byte": _patched(small, len(small) // 2, bytes([small[len(small) // 2] ^ 0xFF])),
        "animated PNG": encoded(_picture(), save_all=True, append_images=frames),
        "animated WEBP": encoded(_picture(), "WEBP", save_all=True, append_images=frames),
        "PNG of 0 × 0 px": png(0, 0, zlib.compress(b"")),
        "nothing": b"",
    }


def _named(*payloads: bytes) -> list[tuple[str, bytes]]:
    return list(zip(("PNG", "JPEG", "WEBP"), payloads, strict=True))
