"""Text of others inside a prompt: data between marks that it can't contain, never instruction.

Nothing keeps a model from obeying what it reads, so the rooms that ask models give them no secret and nothing to write with. The marks
are the lesser half of the defence: they let a prompt say where data begins and ends, and keep data from ending them early.
"""

import hashlib
import unicodedata

MAX_CHARS = 4000

_KEPT_CONTROLS = "\n\t"
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
"""Controls, formats (zero width, bidirectional, tags), private use, surrogates, unassigned: letters that people don't see."""
_BLANK = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0x180B, 0x180F)))
)
"""Fillers and variation selectors: invisible too, though Unicode calls them letters or marks. Those of plane 14 are told by their range."""


def quoted(text: str, *, source: str, max_chars: int = MAX_CHARS) -> str:
    """A text between `<<<SOURCE MARK` and `MARK SOURCE>>>`; the mark follows from the text, so that none can bring its own along.

    Args:
        text: whatever others wrote. Invisible characters are left out; what is too long is cut, and ends in an ellipsis.
        source: what it is, in upper-case words of ours such as `QUESTION`.
        max_chars: the most that is shown.
    """
    shown = visible(text)
    if len(shown) > max_chars:
        shown = f"{shown[: max_chars - 1]}…"
    shown = shown.replace("<<<", "‹‹‹").replace(">>>", "›››")
    mark = _mark(f"{source}\n{shown}")
    return f"<<<{source} {mark}\n{shown}\n{mark} {source}>>>"


def visible(text: str) -> str:
    """A text without characters that a person does not see, in composed form and with plain ends of lines."""
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(character for character in composed if character in _KEPT_CONTROLS or not _is_invisible(character))


def _is_invisible(character: str) -> bool:
    is_selector = 0xE0000 <= ord(character) <= 0xE0FFF
    return is_selector or character in _BLANK or unicodedata.category(character) in _INVISIBLE


def _mark(text: str) -> str:
    """Follows from the text, so that the same prompt is asked the same, and does not occur in it."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    while mark in text:
        mark = hashlib.sha256(mark.encode()).hexdigest()[:8]
    return mark
