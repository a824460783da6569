"""Which stack a command talks to: the one that was named, the one that runs in the state directory, or one that it starts itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.stack import LocalStack, load_stack
from services.cli.session import Target
from shared.errors import BadConfiguration


def standing_target(state_dir: Path, bus_url: str, store_url: str) -> Target | None:
    """The stack that was named, else the one that runs in the state directory, else None.

    Raises:
        BadConfiguration: a broker was named without its store.
    """
    if bus_url:
        if not store_url:
            raise BadConfiguration("--bus-url (SPIRAL_BUS_URL) needs --store-url (SPIRAL_STORE_URL): where the rooms keep their objects")
        return Target(bus_url, store_url, state_dir)
    info = load_stack(state_dir)
    return None if info is None else Target(info.bus_url, info.store_url, state_dir)


def running_target(state_dir: Path, bus_url: str, store_url: str) -> Target:
    """As `standing_target`, for commands that only look.

    Raises:
        BadConfiguration: no stack is up.
    """
    target = standing_target(state_dir, bus_url, store_url)
    if target is None:
        raise BadConfiguration(
            f"no stack is up in {state_dir}: start one with `spiral up` (or `spiral run`), or name one with --bus-url and --store-url"
        )
    return target


def keeps_state(state_dir: Path) -> bool:
    """Whether an embedded stack ever ran in a directory."""
    return (state_dir / "nats").is_dir()


@asynccontextmanager
async def readable(state_dir: Path, bus_url: str, store_url: str) -> AsyncIterator[Target]:
    """The stack that is up, or else just the broker of the state directory for as long as the block lasts: enough to read the past.

    Raises:
        BadConfiguration: no stack is up and none ever ran there, or another process starts one at this moment.
    """
    standing = standing_target(state_dir, bus_url, store_url)
    if standing is not None or not keeps_state(state_dir):
        yield standing or running_target(state_dir, bus_url, store_url)
        return
    async with embedded(state_dir, lambda text: None, rooms=()) as stack:
        yield Target(stack.info.bus_url, stack.info.store_url, state_dir)


@asynccontextmanager
async def embedded(state_dir: Path, say: Callable[[str], None], *, rooms: tuple[str, ...] | None = None) -> AsyncIterator[LocalStack]:
    """An embedded stack of our own, ready to work; it stops with the block.

    Raises:
        BadConfiguration: another stack holds the state directory, or no nats-server is installed.
        ChildFailed: a process doesn't start; the text holds the end of its log.
    """
    stack = LocalStack(state_dir, announce=say) if rooms is None else LocalStack(state_dir, rooms=rooms, announce=say)
    async with stack:
        await stack.ready()
        yield stack
