"""Showing samples one by one in the terminal, and hearing what a person says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.audit_drawing import Drawn
from services.cli.audit_origin import origin_of
from services.cli.audit_picture import half_blocks, save_image, shown_share
from services.cli.audit_words import AuditBook
from services.cli.keyboard import Keyboard
from services.cli.words import on_screen, percent, words
from shared.domain import AuditVerdict, Candidate
from shared.errors import BadConfiguration, Rejected
from shared.events import LabelAudited
from shared.prompt import LETTERS
from shared.tables import Sample

VERDICT_KEYS = {"r": AuditVerdict.CORRECT, "w": AuditVerdict.WRONG, "u": AuditVerdict.UNSURE}
NOTE, SKIP, BACK, QUIT = "n", "s", "b", ("q", "")
HINT = "r right   w wrong   u unsure   n note first   s skip   b back   q quit"
TEXT_ROWS = 16
"""Rows of the terminal that are left for what stands beside the image."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where samples are shown. `folder` is where their images are saved as files; None shows them inline only."""

    console: Console
    keyboard: Keyboard
    folder: Path | None

    async def audit(self, drawn: Sequence[Drawn], book: AuditBook) -> int:
        """Asks about each sample until all were seen or the person quits; returns how many words were said.

        Raises:
            Retryable: store or broker are away. What was said stands.
            Rejected: a sample that is to be saved holds no image.
        """
        place, num_said = 0, 0
        while place < len(drawn):
            self._show(drawn[place], place, len(drawn), book.last.get(drawn[place].sample.sample_id))
            said = await self._ask()
            if said is None:
                break
            if said == BACK:
                place = max(0, place - 1)
                continue
            if isinstance(said, tuple):
                verdict, detail = said
                word = await book.say(drawn[place], verdict, detail)
                num_said += 1
                self._print(f"noted: {_said(word)}", style="dim")
            place += 1
        return num_said

    async def _ask(self) -> "tuple[AuditVerdict, str] | str | None":
        """A verdict with its note, SKIP or BACK; None to quit."""
        self._print(HINT, style="bold")
        detail = ""
        while True:
            key = await self.keyboard.key()
            if key in QUIT:
                return None
            if key in (SKIP, BACK):
                return key
            if key in VERDICT_KEYS:
                return VERDICT_KEYS[key], detail
            if key == NOTE:
                self._print("note (Enter ends it, Escape takes it back): ", end="")
                detail = await self.keyboard.line(self._echo) or ""
                self._print("")
                self._print(f"note: {detail or 'none'}. Now r, w or u", style="dim")

    def _show(self, drawn: Drawn, place: int, total: int, before: LabelAudited | None) -> None:
        sample = drawn.sample
        self._print("")
        self.console.rule(f"{place + 1} of {total} · iteration {drawn.iteration} · {words(str(sample.cell))}", align="left")
        show_image(self.console, sample.image, sample.sample_id, self.folder)
        self.console.print(described(sample))
        if before is not None:
            self._print(f"said before: {_said(before)}", style="yellow")

    def _echo(self, text: str) -> None:
        # As it is: the console would take the backspaces out.
        self.console.file.write(text)
        self.console.file.flush()

    def _print(self, text: str, *, style: str | None = None, end: str = "\n") -> None:
        self.console.print(text, style=style, end=end, markup=False, highlight=False, soft_wrap=True)


def show_image(console: Console, payload: bytes, name: str, folder: Path | None) -> None:
    """Shows an image inline where the terminal can, and saves it where there is a folder for it; else says what is not to be seen.

    Raises:
        BadConfiguration: it can't be written there.
        Rejected: it is no image.
    """
    lack = _shown(console, payload)
    if folder is not None:
        console.print(f"image: {keep_image(payload, name, folder)}", markup=False, highlight=False, soft_wrap=True)
    elif lack:
        console.print(f"{lack}: save it by --save DIR", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _shown(console: Console, payload: bytes) -> str:
    """What of an image is not to be seen, after it was shown as far as it can be."""
    if not can_show_images(console):
        return "the image can't be shown in this terminal"
    columns, rows = console.width, max(8, console.height - TEXT_ROWS)
    try:
        console.print(half_blocks(payload, columns=columns, rows=rows))
    except Rejected as error:
        # Whoever audits may look at it elsewhere; the samples behind it are to be seen all the same.
        return f"the image can't be shown ({error})"
    share = shown_share(payload, columns=columns, rows=rows)
    return f"shown at {percent(share)} of its width and height" if share < 1 else ""


def keep_image(payload: bytes, name: str, folder: Path) -> Path:
    """Saves the image of a sample or candidate in a folder, and says where.

    Raises:
        BadConfiguration: it can't be written there.
        Rejected: it does not decode.
    """
    try:
        return save_image(payload, folder, name[:16])
    except Rejected as error:
        raise Rejected(f"sample {name}: {error}") from error
    except OSError as error:
        raise BadConfiguration(f"images can't be saved in {folder}: {error.strerror}") from error


def can_show_images(console: Console) -> bool:
    """Whether half blocks come out as colours: not in a pipe, without colours, or where the encoding has no blocks."""
    has_colors = console.is_terminal and console.color_system is not None and not console.no_color
    return has_colors and console.encoding.lower().startswith("utf")


def described(made: Sample | Candidate) -> Table:
    """Question, choices, label and origin as a table; strangers' text is made safe to print."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("question", Text(on_screen(made.question), style="bold"))
    for letter, choice in zip(LETTERS, made.choices, strict=False):
        is_label = made.answer.strip().upper() == letter
        table.add_row("", Text(f"{letter}. {on_screen(choice)}", style="bold green" if is_label else ""))
    tolerance = f"  (± {made.tolerance:g})" if made.tolerance else ""
    table.add_row("label", Text(f"{on_screen(made.answer)}{tolerance}", style="bold green"))
    for name, value in origin_of(made):
        table.add_row(name, Text(value, style="dim"))
    return table


def _said(word: LabelAudited) -> str:
    spoken = {AuditVerdict.CORRECT: "right", AuditVerdict.WRONG: "wrong", AuditVerdict.UNSURE: "unsure"}[word.verdict]
    note = f", {on_screen(word.detail)}" if word.detail else ""
    return f"{spoken} ({on_screen(word.auditor)}{note})"
