"""The state directory of an embedded stack: who holds it, which ports it had, and what runs in it."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.durable_files import place, stage
from shared.errors import BadConfiguration

HOST = "127.0.0.1"
_LOCK_PATIENCE_S = 1.0


class RoomInfo(BaseModel):
    """A room of a running stack."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int | None
    """None between its death and its next start, and once it has left."""
    address: str
    """host:port of its gRPC server."""
    log: Path
    num_restarts: Annotated[int, Field(ge=0)]
    has_left: bool = False
    """It was drained, and is not started again."""


class StackInfo(BaseModel):
    """A running stack, as `<state directory>/stack.json` describes it."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    pid: int
    started_at_s: float
    """Unix epoch."""
    state_dir: Path
    bus_url: str
    store_url: str
    broker_pid: int | None
    broker_log: Path
    rooms: tuple[RoomInfo, ...]


def save_stack(info: StackInfo) -> None:
    """Writes the description; readers see the former or the new one, whole."""
    place(stage([info.model_dump_json(indent=1).encode()], info.state_dir), info.state_dir / "stack.json")


def load_stack(state_dir: Path) -> StackInfo | None:
    """The stack that runs in a state directory, or None where none does."""
    state_dir = state_dir.expanduser().resolve()
    if not _is_held(state_dir):
        return None
    try:
        return StackInfo.model_validate_json((state_dir / "stack.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


@contextmanager
def hold(state_dir: Path) -> Iterator[int]:
    """Keeps other stacks out of a state directory, which is made where it is missing.

    Yields the lock's descriptor. The kernel lets go once we and all children that inherited it have ended, however they do.

    Raises:
        BadConfiguration: another stack holds it, or it can't be written.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BadConfiguration(f"cannot keep state in {state_dir}: {error.strerror}; choose another directory") from error
    try:
        # A reader that looks whether a stack runs holds the lock for an instant.
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while not _try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
                raise BadConfiguration(
                    f"a stack runs in {state_dir} already (process {holder or 'unknown'}): stop it, or choose another state directory"
                )
            time.sleep(0.02)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        (state_dir / "stack.json").unlink(missing_ok=True)
        yield lock
        (state_dir / "stack.json").unlink(missing_ok=True)
    finally:
        os.close(lock)


def _is_held(state_dir: Path) -> bool:
    try:
        lock = os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _try_lock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def choose_ports(state_dir: Path, names: list[str]) -> dict[str, int]:
    """A free port for each name: the one that it had in this state directory, where that is free, else a new one; remembered."""
    file = state_dir / "ports.json"
    try:
        remembered = {str(name): int(port) for name, port in json.loads(file.read_bytes()).items()}
    except (FileNotFoundError, ValueError, AttributeError):
        remembered = {}
    chosen: dict[str, int] = {}
    for name in names:
        port = remembered.get(name, 0)
        while not port or port in chosen.values() or not _is_free(port):
            port = _free_port()
        chosen[name] = port
    place(stage([json.dumps({**remembered, **chosen}, indent=1).encode()], state_dir), file)
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
