"""Files of phones and stereo cameras in which several JPEGs follow one another: only the first one is the picture.

A directory at its beginning names the others (segment APP2 "MPF", CIPA DC-007): the gain map of an Ultra HDR photo, a preview, what the
other eye sees. What is kept of such a file is decoded from the first JPEG's bytes alone, so nothing that follows can come along.
"""

import struct
from collections.abc import Iterator

from shared.images.headers import BrokenImage, jpeg_end, jpeg_segment

_JPEG = b"\xff\xd8\xff"
_MPF = b"MPF\0"
_APP2, _END, _SCAN = 0xE2, 0xD9, 0xDA
_ENTRIES, _ENTRY_BYTES = 0xB002, 16


def first_picture(payload: bytes) -> bytes:
    """The first JPEG of a file without its directory, where that directory names a JPEG right behind it; other bytes as they are.

    A directory without anything behind the picture, as editors leave it, is taken off as well: decoders would look for the others.
    Between the JPEGs may be zeros. Whatever is wrong is left for the next check to say.
    """
    if not payload.startswith(_JPEG):
        return payload
    try:
        directories = list(_directories(payload))
        if len(directories) != 1:
            return payload
        [(begin, content, behind)] = directories
        end = jpeg_end(payload)
        if end < len(payload) and not _is_named(payload, end, content, behind):
            return payload
        return payload[:begin] + payload[behind:end]
    except (struct.error, IndexError, BrokenImage):
        return payload


def _directories(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """Where such segments begin, where what offsets count from does, and the first byte behind them."""
    begin, marker = 2, 0
    while marker not in (_SCAN, _END):
        marker, content, behind = jpeg_segment(payload, begin)
        if marker == _APP2 and payload.startswith(_MPF, content, behind):
            yield begin, content + len(_MPF), behind
        begin = behind


def _is_named(payload: bytes, end: int, content: int, behind: int) -> bool:
    """Whether what follows the picture is a JPEG that stands in the directory with a length within the file."""
    begin = len(payload) - len(payload[end:].lstrip(b"\0"))
    if not payload.startswith(_JPEG, begin):
        return False
    named = _named(payload[content:behind])
    return any(content + offset == begin and 0 < length <= len(payload) - begin for length, offset in named)


def _named(directory: bytes) -> Iterator[tuple[int, int]]:
    """Length and offset of each picture."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(directory[:4])
    if order is None:
        return
    (at,) = struct.unpack_from(f"{order}I", directory, 4)
    (num_fields,) = struct.unpack_from(f"{order}H", directory, at)
    for field in range(num_fields):
        tag, _, num_bytes, offset = struct.unpack_from(f"{order}HHII", directory, at + 2 + 12 * field)
        if tag == _ENTRIES:
            for entry in range(num_bytes // _ENTRY_BYTES):
                yield struct.unpack_from(f"{order}II", directory, offset + _ENTRY_BYTES * entry + 4)
            # A directory of many such fields would be read for seconds.
            return
