"""Running `spiral pool` as a user does, in a process of its own."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


async def start(*arguments: str, before: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-m", "services.cli", "pool", *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


async def pool(*arguments: str | Path, before: tuple[str, ...] = ()) -> Ended:
    process = await start(*map(str, arguments), before=before)
    out, err = await asyncio.wait_for(process.communicate(), 90)
    return Ended(process.returncode or 0, out.decode(), err.decode())


def stored(state: Path, kind: str) -> list[Path]:
    """The objects of a kind, `blobs` or `manifests`, in the store of a state directory."""
    return sorted(path for path in (state / "objects" / kind).rglob("*") if path.is_file())
