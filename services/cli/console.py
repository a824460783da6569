"""The consoles that the commands write to."""

from rich.console import Console

PLAIN_WIDTH = 140


def open_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; into a file or pipe, wide enough that tables aren't cut."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PLAIN_WIDTH)
