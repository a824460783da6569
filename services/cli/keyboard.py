"""Single keys of a terminal, without a thread that would outlive whoever waits for one."""

import asyncio
import codecs
import os
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from shared.errors import BadConfiguration

ERASE, ENTER, ESCAPE = ("\x7f", "\b"), ("\r", "\n"), "\x1b"


class Keyboard:
    """Keys as they are pressed; an empty text once the terminal is gone."""

    def __init__(self) -> None:
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def take(self, read: bytes) -> None:
        """Takes in what the terminal sent."""
        if not read:
            self._keys.put_nowait("")
        for key in self._decoder.decode(read):
            self._keys.put_nowait(key)

    async def key(self) -> str:
        """The next key."""
        return await self._keys.get()

    async def line(self, echo: Callable[[str], None]) -> str | None:
        """What is typed up to Enter; None where Escape takes it back or the terminal is gone.

        Args:
            echo: shows what was typed, as the terminal does not.
        """
        typed = ""
        while True:
            key = await self.key()
            if key in ENTER:
                return typed
            if key in ("", ESCAPE):
                return None
            if key in ERASE:
                if typed:
                    typed = typed[:-1]
                    echo("\b \b")
            elif key.isprintable():
                typed += key
                echo(key)


@contextmanager
def open_keyboard(descriptor: int) -> Iterator[Keyboard]:
    """The keyboard of a terminal: keys come at once and are not echoed. Afterwards the terminal is as it was. Ctrl-C still interrupts.

    Raises:
        BadConfiguration: it is no terminal.
    """
    if not os.isatty(descriptor):
        raise BadConfiguration(
            "the keyboard is no terminal: look at what --json --save DIR shows, and say what was seen by --verdicts FILE"
        )
    keyboard, loop = Keyboard(), asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        try:
            sent = os.read(descriptor, 1024)
        except OSError:
            # The other end was closed.
            sent = b""
        keyboard.take(sent)
        if not sent:
            loop.remove_reader(descriptor)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield keyboard
    finally:
        loop.remove_reader(descriptor)
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
