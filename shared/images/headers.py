"""Reading an image's claims off its bytes: format, size, and whether exactly one whole picture stands there.

A header that claims 50,000 × 50,000 pixels costs as little as any other. What a decoder would let pass is refused here: files cut off
after the last pixel, animations, and bytes hidden behind the picture or behind its pixels.
"""

import struct
import zlib
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and the steps between columns and rows, of the seven passes of an interlaced PNG."""
_PIECE_BYTES = 1 << 20
_SIGNATURES = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"PK\x03\x04": "a ZIP archive",
}
_BOX_BRANDS = {"AVIF": {b"avif", b"avis"}, "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}}
"""What a file that begins with an ISO box of type `ftyp` may say to be; the others are videos."""


class BrokenImage(Exception):
    """These bytes are not one whole PNG, JPEG or WEBP picture; the text says why."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the bytes claim. `format` is "PNG", "JPEG" or "WEBP"."""

    format: str
    width_px: int
    height_px: int


def read_header(payload: bytes) -> ImageHeader:
    """Format and size.

    Raises:
        BrokenImage: no allowed format, or the header is cut off, empty or animated.
    """
    try:
        if payload.startswith(_PNG):
            header = _png_header(payload)
        elif payload.startswith(_JPEG):
            header = _jpeg_header(payload)
        elif payload[:4] == b"RIFF" and payload[8:12] == b"WEBP":
            header = _webp_header(payload)
        else:
            raise BrokenImage(f"{_name(payload)}: images must be PNG, JPEG or WEBP")
    except (struct.error, IndexError) as error:
        raise BrokenImage("the file ends within its header") from error
    if header.width_px < 1 or header.height_px < 1:
        raise BrokenImage(f"the {header.format} is {header.width_px}×{header.height_px} px")
    return header


def check_whole(payload: bytes, header: ImageHeader) -> None:
    """Walks the container to its end.

    Raises:
        BrokenImage: it is cut off, a checksum is wrong, it is animated, or something follows the picture.
    """
    walk = {"PNG": _png_end, "JPEG": jpeg_end, "WEBP": _webp_end}[header.format]
    try:
        end = walk(payload)
    except (struct.error, IndexError) as error:
        raise BrokenImage(f"the {header.format} is truncated") from error
    if end > len(payload):
        raise BrokenImage(f"the {header.format} is truncated: {len(payload)} of {end} bytes")
    if end < len(payload):
        raise BrokenImage(f"{len(payload) - end} bytes follow the {header.format}")


def _name(payload: bytes) -> str:
    if not payload:
        return "empty"
    if payload[4:8] == b"ftyp":
        box = payload[8 : min(int.from_bytes(payload[:4], "big"), 128)]
        brands = {box[at : at + 4] for at in range(0, len(box), 4)}
        return next((name for name, known in _BOX_BRANDS.items() if brands & known), "a video")
    return next((name for magic, name in _SIGNATURES.items() if payload.startswith(magic)), "of unknown format")


def _png_header(payload: bytes) -> ImageHeader:
    length, kind, width, height = struct.unpack_from(">I4sII", payload, 8)
    if kind != b"IHDR" or length != 13:
        raise BrokenImage("the PNG does not begin with its header")
    return ImageHeader("PNG", width, height)


def _png_end(payload: bytes) -> int:
    at, packed = 8, list[bytes]()
    length: int
    while True:
        length, kind = struct.unpack_from(">I4s", payload, at)
        if kind == b"acTL":
            raise BrokenImage("the PNG is animated")
        (checksum,) = struct.unpack_from(">I", payload, at + 8 + length)
        if zlib.crc32(payload[at + 4 : at + 8 + length]) != checksum:
            raise BrokenImage(f"the PNG is corrupted: chunk {kind.decode('latin-1')!r} does not match its checksum")
        if kind == b"IDAT":
            packed.append(payload[at + 8 : at + 8 + length])
        at += 12 + length
        if kind == b"IEND":
            _check_unpacked(b"".join(packed), _png_num_bytes(payload))
            return at


def _png_num_bytes(payload: bytes) -> int:
    """How many bytes the rows of a PNG take, by its header."""
    width, height, bits, color_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", payload, 16)
    bits *= {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color_type, 4)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = ((-(-max(0, width - left) // across), -(-max(0, height - top) // down)) for left, top, across, down in passes)
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns)


def _check_unpacked(packed: bytes, num_bytes: int) -> None:
    """Unpacks in small pieces, and no more than that many bytes: what lies behind them is no picture, and may be without end."""
    unpacker, left = zlib.decompressobj(), num_bytes
    while packed and not unpacker.eof:
        try:
            piece = unpacker.decompress(packed, min(left + 1, _PIECE_BYTES))
        except zlib.error as error:
            raise BrokenImage(f"the PNG is corrupted: {error}") from error
        left -= len(piece)
        if left < 0:
            raise BrokenImage(f"the PNG unpacks to more than the {num_bytes:,} bytes of its pixels")
        packed = unpacker.unconsumed_tail


def jpeg_segment(payload: bytes, at: int) -> tuple[int, int, int]:
    """Marker, first byte of the content, first byte behind it.

    Raises:
        BrokenImage: no segment begins there.
        struct.error, IndexError: the bytes end before.
    """
    if payload[at] != 0xFF:
        raise BrokenImage("the JPEG is corrupted: a segment is missing")
    while payload[at] == 0xFF:
        at += 1
    marker = payload[at]
    if marker in _JPEG_BARE or marker in (0xD8, 0xD9):
        return marker, at + 1, at + 1
    (length,) = struct.unpack_from(">H", payload, at + 1)
    if length < 2:
        raise BrokenImage("the JPEG is corrupted: a segment has no length")
    return marker, at + 3, at + 1 + length


def _jpeg_header(payload: bytes) -> ImageHeader:
    at = 2
    while True:
        marker, content, at = jpeg_segment(payload, at)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", payload, content + 1)
            return ImageHeader("JPEG", width, height)
        if marker in (0xD9, 0xDA):
            raise BrokenImage("the JPEG holds no frame")


def jpeg_end(payload: bytes) -> int:
    """The first byte behind the JPEG that the bytes begin with; raises as `jpeg_segment` does."""
    at = 2
    while True:
        marker, _, at = jpeg_segment(payload, at)
        if marker == 0xD9:
            return at
        if marker != 0xDA:
            continue
        while True:
            at = payload.find(b"\xff", at)
            if at < 0:
                raise BrokenImage("the JPEG is truncated")
            following = payload[at + 1]
            if following == 0xFF:
                at += 1
            elif following == 0x00 or following in _JPEG_BARE:
                at += 2
            else:
                break


def _webp_header(payload: bytes) -> ImageHeader:
    kind = payload[12:16]
    if kind == b"VP8X":
        if payload[20] & 0x02:
            raise BrokenImage("the WEBP is animated")
        width, height = (1 + int.from_bytes(_part(payload, at, 3), "little") for at in (24, 27))
        return ImageHeader("WEBP", width, height)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", payload, 21)
        return ImageHeader("WEBP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", payload, 26)
        return ImageHeader("WEBP", width & 0x3FFF, height & 0x3FFF)
    raise BrokenImage("the WEBP does not begin with a picture")


def _part(payload: bytes, at: int, length: int) -> bytes:
    if at + length > len(payload):
        raise IndexError(at)
    return payload[at : at + length]


def _webp_end(payload: bytes) -> int:
    (length,) = struct.unpack_from("<I", payload, 4)
    return int(8 + length + length % 2)
