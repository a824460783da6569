"""What rooms, servers and events say of themselves is shown as it stands: brackets are no markup, and nothing moves the cursor."""

import io

from rich.console import Console, RenderableType

from services.cli.dead import render_dead
from services.cli.status import Status, render_status
from shared.dead_letters import DeadLetter, Obituary
from shared.presence import CurrentActivity, Presence

SAID = "see [endpoints.here] url; the server says [/INST] [red]\x1b[2J"
SHOWN = "see [endpoints.here] url; the server says [/INST] [red]�[2J"


def shown(picture: RenderableType) -> str:
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(picture)
    return console.export_text()


def test_what_a_room_does_is_shown_in_its_words() -> None:
    room = Presence("generators", "agentic", "a", 7, "1", "127.0.0.1:1", "serving", "", "", CurrentActivity(SAID))
    assert SHOWN in shown(render_status(Status(((room, "SERVING"),), (), (), 0)))


def test_why_an_event_died_is_shown_in_its_words() -> None:
    died = Obituary("mixture.planned.r1", "m", 0, "quality", "c", 1, "Rejected", SAID, "", "2026-01-01T00:00:00Z")
    assert SHOWN in shown(render_dead([DeadLetter(1, died, {}, b"")]))
