"""Files as phones and stereo cameras write them, built byte by byte: a JPEG, its directory of pictures, and the JPEGs that follow."""

import io
import struct
import zipfile

from tests.unit.pool.pictures import encoded, photo, tagged

XMP = b"http://ns.adobe.com/xap/1.0/\0<rdf:Description xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version=\"1.0\"/>"
SECRET = b"hidden-in-the-archive"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def directory(pictures: list[tuple[int, int]], order: str = ">") -> bytes:
    """A segment that names pictures by length and offset, which counts from the eighth byte of it."""
    fields = [(0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack(f"{order}I", len(pictures)))]
    entries = b"".join(struct.pack(f"{order}IIIHH", 0, length, offset, 0, 0) for length, offset in pictures)
    at = 8 + 2 + 12 * 3 + 4
    fields.append((0xB002, 7, len(entries), struct.pack(f"{order}I", at)))
    table = b"".join(struct.pack(f"{order}HHI", *field[:3]) + field[3] for field in fields)
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}IH", 8, len(fields))
    return segment(0xE2, b"MPF\0" + head + table + bytes(4) + entries)


def phone_photo(
    picture: bytes, *following: bytes, order: str = ">", padding: int = 0, misplaced: int = 0, longer: int = 0, tail: bytes = b""
) -> bytes:
    """An Ultra HDR photo: a JPEG that names those that follow it, each behind so many zeros.

    Args:
        picture: the JPEG that everybody sees.
        following: the others.
        order: of the bytes in the directory.
        padding: zeros before each.
        misplaced: by how many bytes the directory errs.
        longer: by how many bytes the directory overstates their lengths.
        tail: what stands behind all of them.
    """
    xmp = segment(0xE1, XMP)
    end = len(xmp) + len(directory([(0, 0)] * (1 + len(following)), order)) + len(picture)
    named, rest = [(end, 0)], b""
    for other in following:
        rest += bytes(padding)
        # Behind the start of the file, the XMP, and the first eight bytes of the directory's segment.
        named.append((len(other) + longer, end + len(rest) - (2 + len(xmp) + 8) + misplaced))
        rest += other
    return picture[:2] + xmp + directory(named, order) + picture[2:] + rest + tail


def archive() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as zipped:
        zipped.writestr("payload.txt", SECRET)
    return sink.getvalue()


def gain_map() -> bytes:
    return encoded(photo(21).convert("L").resize((24, 24)))


def stereo(orientation: int = 1) -> bytes:
    """As Pillow writes it."""
    return tagged(photo(20, 120, 80), orientation, "MPO", save_all=True, append_images=[photo(22, 120, 80)], quality=92)
