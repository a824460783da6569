"""`spiral up`: the embedded stack in the foreground."""

import asyncio

from deploy.local.stack import StackInfo, run_stack
from services.cli.console import open_console
from services.cli.options import DEFAULT_STATE_DIR, StateDir


def up(state_dir: StateDir = DEFAULT_STATE_DIR) -> None:
    """Start the embedded stack and keep it up until Ctrl-C. Runs that were interrupted go on."""
    console = open_console()

    def ready(info: StackInfo) -> None:
        console.print(f"up: broker {info.bus_url}, objects {info.store_url}", highlight=False, soft_wrap=True)
        for room in info.rooms:
            console.print(f"  {room.name:<20} pid {room.pid}  grpc {room.address}  log {room.log}", highlight=False, soft_wrap=True)
        console.print("Ctrl-C stops it. In another terminal: spiral run, spiral status", highlight=False)

    console.print(f"starting the stack in {state_dir}", highlight=False)
    asyncio.run(run_stack(state_dir, on_ready=ready, announce=lambda text: console.print(text, highlight=False, markup=False)))
    console.print("stopped")
