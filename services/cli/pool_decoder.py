"""The process that decodes strangers' images: `python -m services.cli.pool_decoder`, spoken to by `pool_decoders.py` over its pipes.

It reads frames (eight bytes of length, big-endian, then the bytes): first the caps as JSON, which an empty frame confirms, then images.
To each image it answers a frame of JSON, and behind it the image and its thumbnail where it was taken in. It ends when its input does, so
it never outlives its parent.
"""

import dataclasses
import json
import struct
import sys
from typing import Any, BinaryIO

from shared.domain import RejectionReason
from shared.images.decoding import ImageRefused
from shared.images.intake import Intake, IntakeCaps, take_in

LENGTH = struct.Struct(">Q")


def frame(payload: bytes) -> bytes:
    """A frame as it goes over the pipe."""
    return LENGTH.pack(len(payload)) + payload


def answer(payload: bytes, caps: IntakeCaps) -> list[bytes]:
    """The frames that answer an image."""
    try:
        taken = take_in(payload, caps)
    except ImageRefused as error:
        return [_json({"refused": error.reason.value, "detail": error.detail})]
    except MemoryError:
        return [_json({"refused": RejectionReason.IMAGE_TOO_LARGE.value, "detail": "there is not enough memory to decode it"})]
    about = {"width_px": taken.width_px, "height_px": taken.height_px, "perceptual_hash": taken.perceptual_hash}
    return [_json(about), taken.image, taken.thumbnail]


def read_answer(about: dict[str, Any], image: bytes, thumbnail: bytes) -> Intake:
    """The pool image of an answer that refused nothing."""
    return Intake(image, thumbnail, int(about["width_px"]), int(about["height_px"]), int(about["perceptual_hash"]))


def caps_frame(caps: IntakeCaps) -> bytes:
    """The first frame."""
    return frame(_json(dataclasses.asdict(caps)))


def main() -> None:
    """Answers frames until the input ends."""
    first = _read_frame(sys.stdin.buffer)
    if first is None:
        return
    caps = IntakeCaps(**json.loads(first))
    _say([b""])
    while (payload := _read_frame(sys.stdin.buffer)) is not None:
        _say(answer(payload, caps))


def _read_frame(source: BinaryIO) -> bytes | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    payload = source.read(length)
    return payload if len(payload) == length else None


def _say(parts: list[bytes]) -> None:
    for part in parts:
        sys.stdout.buffer.write(frame(part))
    sys.stdout.buffer.flush()


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode()


if __name__ == "__main__":
    main()
