"""A process of its own for the stack tests: runs a stack without rooms until it is stopped or killed."""

import asyncio
import sys
from pathlib import Path

from deploy.local.stack import run_stack

asyncio.run(run_stack(Path(sys.argv[1]), rooms=(), on_ready=lambda info: print("ready", flush=True)))
