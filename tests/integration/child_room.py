"""The evaluator of `evaluator_child` as a process, held by its handle."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.settings import RoomSettings

ROOT = Path(__file__).parents[2]


@contextmanager
def child(settings: RoomSettings, **changes: object) -> Iterator[subprocess.Popen[str]]:
    """The child room with the given settings as its environment; ended by its handle, however the test goes."""
    values = {**settings.model_dump(exclude_none=True, exclude={"instance_id"}), **changes}
    environment = {f"SPIRAL_{name.upper()}": str(value) for name, value in values.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.evaluator_child"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def exit_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what the room wrote."""
    _, errors = await asyncio.to_thread(process.communicate, timeout=30)
    return process.returncode, errors
