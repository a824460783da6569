"""A quality room of tomorrow: its contract has an enumerator and a field more. `newer_source` makes its source; as a process it says
what it hears."""

import re
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

from shared.catalogue import Room
from shared.events import CandidatesGenerated, Event, MixturePlanned, PlanClosed
from shared.ports import Delivery
from shared.runtime import main
from shared.service import Ports, Service
from shared.settings import RoomSettings

ROOT = Path(__file__).parents[2]
CHANGES = {
    "proto/spiral/v1/types.proto": (
        (r"(CLOSING_REASON_NO_GENERATOR = 3;)", r"\1\n  CLOSING_REASON_OPERATOR = 4;"),
        (r"(string parent_model_id = 4;)", r"\1\n  optional string precision = 5;"),
    ),
    "shared/domain.py": (
        (r'(    NO_GENERATOR = "no_generator"\n)', r'\1    OPERATOR = "operator"\n'),
        (r'(    parent_model_id: str = ""\n)', r'\1    precision: str = "float32"\n'),
    ),
}


def newer_source(directory: Path) -> Path:
    """Writes the shared ground of tomorrow's rooms below a directory, and returns what goes onto their path."""
    shutil.copytree(ROOT / "shared", directory / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "proto" / "spiral", directory / "proto" / "spiral")
    for name, changes in CHANGES.items():
        text = (directory / name).read_text()
        for pattern, replacement in changes:
            text, count = re.subn(pattern, replacement, text)
            assert count == 1, f"{name}: {pattern}"
        (directory / name).write_text(text)
    sources = [str(path) for path in (directory / "proto").rglob("*.proto")]
    well_known = str(resources.files("grpc_tools") / "_proto")
    assert protoc.main(["protoc", f"-I{directory}/proto", f"-I{well_known}", f"--python_out={directory}", *sources]) == 0
    for package in ("spiral", "spiral/v1"):
        (directory / package / "__init__.py").touch()
    return directory


async def hear(event: Event, _: Delivery) -> Sequence[Event]:
    if isinstance(event, PlanClosed):
        sys.stdout.write(f"{event.reason.value} {event.base_model.precision}\n")  # type: ignore[attr-defined]
        sys.stdout.flush()
    return []


@asynccontextmanager
async def build(_: Ports, __: RoomSettings) -> AsyncIterator[Service]:
    yield Service(handlers=dict.fromkeys((MixturePlanned, CandidatesGenerated, PlanClosed), hear))


if __name__ == "__main__":
    main(Room.QUALITY, RoomSettings, build)
