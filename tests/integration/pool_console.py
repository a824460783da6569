"""Running `spiral pool` as a user does: in this process where nobody kills it, else in one of its own."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.app import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


def pool(*arguments: str | Path) -> Ended:
    """Runs a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["pool", *map(str, arguments)])
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Ended(code, out.getvalue(), err.getvalue())


def start(*arguments: str | Path, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Starts a command line in a process of its own, behind another command where one is given."""
    command = (*before, sys.executable, "-m", "services.cli", "pool", *map(str, arguments))
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def stored(state: Path, kind: str) -> list[Path]:
    """The objects of a kind, `blobs` or `manifests`, in the store of a state directory."""
    return sorted(path for path in (state / "objects" / kind).rglob("*") if path.is_file())
