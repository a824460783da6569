"""Directories that are either complete or not counted: a seal, written last, lists every file with its size.

A training killed while it saves leaves a directory without a seal, or with one that does not fit; resuming passes over it to the one
before.
"""

import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ValidationError

from services.trainer.job import StageSummary

SEAL = "spiral-seal.json"


class Seal(BaseModel):
    """What a complete directory holds."""

    num_bytes: dict[str, int]
    """Size of each file, by its path inside the directory."""
    summary: StageSummary | None = None
    """For the result of a stage."""


def seal(directory: Path, summary: StageSummary | None = None) -> None:
    """Declares a directory complete."""
    content = Seal(num_bytes=_sizes(directory), summary=summary)
    staged = directory / f".{SEAL}"
    with staged.open("w", encoding="utf-8") as file:
        file.write(content.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    staged.replace(directory / SEAL)


def read_seal(directory: Path) -> Seal | None:
    """The seal of a complete directory; None where it has none or a file differs from it in size."""
    try:
        content = Seal.model_validate_json((directory / SEAL).read_bytes())
    except (OSError, ValidationError):
        return None
    return content if content.num_bytes == _sizes(directory) else None


def newest_checkpoint(directory: Path) -> Path | None:
    """The complete `checkpoint-N` with the largest N in a directory."""
    return max((path for path in _checkpoints(directory) if read_seal(path)), key=_step, default=None)


def remove_torn_checkpoints(directory: Path) -> list[Path]:
    """Deletes every incomplete `checkpoint-N`, and names them."""
    torn = [path for path in _checkpoints(directory) if not read_seal(path)]
    for path in torn:
        shutil.rmtree(path)
    return torn


def _checkpoints(directory: Path) -> list[Path]:
    return [path for path in directory.glob("checkpoint-*") if path.is_dir() and path.name.removeprefix("checkpoint-").isdigit()]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _sizes(directory: Path) -> dict[str, int]:
    files = (path for path in directory.rglob("*") if path.is_file() and path.name not in (SEAL, f".{SEAL}"))
    return {path.relative_to(directory).as_posix(): path.stat().st_size for path in files}
