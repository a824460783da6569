"""A decoder that dies of the payload `die`, hangs over `hang`, dies once of `die once FILE`, and refuses all else, saying who it is."""

import json
import os
import struct
import sys
import time
from pathlib import Path

LENGTH = struct.Struct(">Q")


def say(payload: bytes) -> None:
    sys.stdout.buffer.write(LENGTH.pack(len(payload)) + payload)
    sys.stdout.buffer.flush()


def hear() -> bytes:
    head = sys.stdin.buffer.read(LENGTH.size)
    if len(head) < LENGTH.size:
        sys.exit(0)
    return sys.stdin.buffer.read(LENGTH.unpack(head)[0])


hear()
say(b"")
while True:
    payload = hear()
    if payload == b"die":
        os.kill(os.getpid(), 9)
    if payload == b"hang":
        time.sleep(600)
    if payload.startswith(b"die once "):
        mark = Path(payload.removeprefix(b"die once ").decode())
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 11)
    say(json.dumps({"refused": "schema", "detail": str(os.getpid())}).encode())
