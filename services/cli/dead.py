"""`spiral dead`: events that no room could handle, with the reason."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.words import on_screen
from shared.dead_letters import DeadLetter
from shared.errors import Rejected

SCHEMA = "spiral.dead/1"


def dead_json(letters: list[DeadLetter], *, with_event: bool = False) -> dict[str, Any]:
    """Dead letters as JSON values; `event` is the event as text, or null where it can't be read."""
    rows = []
    for letter in letters:
        died = letter.obituary
        row: dict[str, Any] = {
            "sequence": letter.sequence,
            "subject": died.subject,
            "message_id": died.message_id,
            "room": died.room,
            "consumer": died.consumer,
            "attempt": died.attempt,
            "error_type": died.error_type,
            "reason": died.reason,
            "died_at": died.died_at,
        }
        if with_event:
            row |= {"traceback": died.traceback, "headers": letter.headers, "num_bytes": len(letter.payload), "event": _event_text(letter)}
        rows.append(row)
    return {"schema": SCHEMA, "dead_letters": rows}


def render_dead(letters: list[DeadLetter]) -> RenderableType:
    """A table of all dead letters."""
    if not letters:
        return Text("no dead letters")
    table = Table(box=None, pad_edge=False)
    for name in ("no.", "died at", "room", "subject", "attempts", "error", "reason"):
        table.add_column(name, justify="right" if name in ("no.", "attempts") else "left", no_wrap=name != "reason")
    for letter in letters:
        died = letter.obituary
        reason = died.reason.splitlines()[0] if died.reason else ""
        table.add_row(
            str(letter.sequence), died.died_at, died.room, died.subject, str(died.attempt), died.error_type, Text(on_screen(reason))
        )
    return table


def render_dead_letter(letter: DeadLetter) -> RenderableType:
    """Everything about one dead letter."""
    died = letter.obituary
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in (
        ("number", letter.sequence),
        ("subject", died.subject),
        ("room", f"{died.room} (consumer {died.consumer}, attempt {died.attempt})"),
        ("died at", died.died_at),
        ("error", f"{died.error_type}: {died.reason}"),
        ("message id", died.message_id),
        ("event", _event_text(letter) or f"unreadable, {len(letter.payload)} bytes"),
    ):
        table.add_row(name, Text(str(value)))
    return Group(table, Text(f"\n{died.traceback}")) if died.traceback else table


def _event_text(letter: DeadLetter) -> str | None:
    try:
        return repr(letter.event())
    except Rejected:
        return None
