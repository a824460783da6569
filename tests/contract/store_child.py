"""A process of its own for the store tests: uploads until killed; fills a small disk; or moves a file
both ways and says its peak memory in KiB."""

import asyncio
import re
import sys
from pathlib import Path

from shared.errors import Retryable
from shared.store import open_store_url


def peak_kib() -> str:
    """Of this program alone: getrusage also counts what its parent held before it became this process."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return found[1]


async def main(what: str, url: str, key: str, path: Path) -> None:
    async with open_store_url(url) as store:
        print("started", flush=True)
        if what == "fill":
            await store.put_bytes("small", b"x" * 1000)
            try:
                await store.put_bytes(key, b"x" * (8 << 20))
            except Retryable as error:
                print(error)
            await store.put_bytes("small", b"y" * (3 << 20))
            print("stands:", await store.keys(""))
            return
        await store.put_file(key, path)
        print("uploaded", flush=True)
        if what == "roundtrip":
            await store.get_file(key, path.with_suffix(".out"))
            print(peak_kib(), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
