"""One more generator beside a stack that is up: a replica, another version or another kind, tied to the process that runs it."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.child import Child
from deploy.local.environment import room_environment
from shared.cancellation import end

GRACE_S = 10.0


async def run_beside(
    module: str, *, bus_url: str, store_url: str, state_dir: Path, instance_id: str, announce: Callable[[str], None] = lambda text: None
) -> None:
    """Runs a generator until it has left (someone drained it), or until this is cancelled: then it is drained.

    It is imported from where this process was, so a generator of another version is run from the checkout of that version. Its log is
    `<state directory>/logs/<module>-<instance>.log`.

    Raises:
        ChildFailed: it keeps dying; the text holds the end of its log.
    """
    settings = {
        "SPIRAL_BUS_URL": bus_url,
        "SPIRAL_STORE_URL": store_url,
        "SPIRAL_WORK_DIR": str(state_dir / "work"),
        "SPIRAL_INSTANCE_ID": instance_id,
        "SPIRAL_GRPC_PORT": "0",
        "SPIRAL_GRACE_S": str(GRACE_S - 2.0),
    }
    child = Child(
        f"{module} {instance_id}",
        [sys.executable, "-P", "-m", module],
        environment=room_environment(settings, uses_torch=False, import_from=Path.cwd()),
        directory=Path.cwd(),
        log=log_of(state_dir, module, instance_id),
        may_leave=True,
    )
    await child.start()
    keeping = asyncio.create_task(child.keep_running(announce))
    try:
        await asyncio.wait({keeping})
        keeping.result()
    finally:
        await end([keeping])
        await child.stop(GRACE_S)


def log_of(state_dir: Path, module: str, instance_id: str) -> Path:
    """Where a generator that runs beside the stack writes."""
    return state_dir / "logs" / f"{module.removeprefix('services.')}-{instance_id}.log"
