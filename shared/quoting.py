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
    mark = hashlib.sha256(f"{source}\n{shown}".encode()).hexdigest()[:8]
    return f"<<<{source} {mark}\n{shown}\n{mark} {source}>>>"


def visible(text: str) -> str:
    """A text without characters that a person does not see, in composed form and with plain ends of lines."""
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(character for character in composed if character in _KEPT_CONTROLS or unicodedata.category(character) not in _INVISIBLE)
