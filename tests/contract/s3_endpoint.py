"""A real S3 endpoint for tests: `rclone serve s3` over a directory, on a free port, held by its handle."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

RCLONE = Path(sys.executable).parent / "rclone"
KEY, SECRET = "spiral-key", "spiral-secret"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serve_s3(directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Serves `directory`, whose folders are the buckets, until the block ends; ready when it begins."""
    command = [str(RCLONE), "serve", "s3", "--config", "", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", str(directory)]
    with (directory.parent / f"rclone-{port}.log").open("wb") as log:
        server = subprocess.Popen(command, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                assert server.poll() is None, f"rclone ended with {server.returncode}"
                assert time.monotonic() < deadline, "rclone does not listen"
                time.sleep(0.02)
        yield server
    finally:
        server.terminate()
        server.wait(timeout=20)
