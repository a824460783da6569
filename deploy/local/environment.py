"""The environment of a room that runs beside others on one machine."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Where the source lies that rooms are started from: the same as that of this process."""


def room_environment(settings: Mapping[str, str], *, uses_torch: bool, import_from: Path | None = None) -> dict[str, str]:
    """What a room's process gets: our own environment under `settings`, our source, and threads that leave the others room.

    `import_from` is searched for modules last.
    """
    gentle = {
        # Idle threads of one torch process must not spin while the other works.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        **({} if uses_torch else {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
    }
    path = [ROOT, ROOT / "proto" / "gen", os.environ.get("PYTHONPATH"), import_from]
    ours = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(str(place) for place in path if place)}
    return {**gentle, **os.environ, **_absolute(os.environ), **ours, **settings}


def _absolute(environment: Mapping[str, str]) -> dict[str, str]:
    """The files that an operator names in SPIRAL_..._FILE: rooms work in a directory of their own."""
    files = {name: value for name, value in environment.items() if name.startswith("SPIRAL_") and name.endswith("_FILE") and value}
    return {name: str(Path(value).expanduser().absolute()) for name, value in files.items()}
