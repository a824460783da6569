"""A command in a real terminal: a pseudo-terminal that a test reads and types into."""

import asyncio
import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """What a command shows, and its keyboard."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self._process = process
        self._news = asyncio.Event()
        self.raw = ""
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @property
    def text(self) -> str:
        """All that was shown so far, without colours."""
        return _ESCAPES.sub("", self.raw)

    def press(self, keys: str) -> None:
        """Types."""
        os.write(self._descriptor, keys.encode())

    async def shows(self, words: str, *, count: int = 1, timeout_s: float = 30.0) -> None:
        """Returns once some words were shown so often; TimeoutError when they are not."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.text.count(words) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"{words!r} was not shown {count} times in:\n{self.text}") from None

    async def exit_code(self, timeout_s: float = 30.0) -> int:
        """Returns how the command ended."""
        return await asyncio.wait_for(self._process.wait(), timeout_s)

    def close(self) -> None:
        """Hangs up."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        try:
            read = os.read(self._descriptor, 65536)
        except OSError:
            read = b""
        if not read:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self.raw += read.decode(errors="replace")
        self._news.set()


@asynccontextmanager
async def in_terminal(*command: str, environment: Mapping[str, str], rows: int = 40, columns: int = 100) -> AsyncIterator[Terminal]:
    """Runs `python -m COMMAND` in a terminal of its own; it is killed with the block."""
    outer, inner = os.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command),
        cwd=ROOT,
        env={"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        # Only a session's own terminal turns Ctrl-C into a signal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(inner)
    terminal = Terminal(outer, process)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        terminal.close()
