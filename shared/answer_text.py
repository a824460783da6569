"""What a completion says in the end: its markup removed, its final answer found, its words made plain."""

import re
import unicodedata

MAX_CHARS = 8000
"""Longer completions are read from their end."""

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_FRACTION_SIGNS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
_SIGNS = str.maketrans({"−": "-", "–": "-", "—": "-", "⁄": "/", "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " "})
_MARKER = re.compile(r"\banswer\s{0,3}(?:is|was|would be|:|=)\s{0,3}:?", re.IGNORECASE)
_HEADS = frozenset({"a", "an", "letter", "word", "color", "colour"})


def tidy(text: str) -> str:
    """One spelling for signs, markup removed, at most MAX_CHARS."""
    text = text[-MAX_CHARS:]
    for sign, spelled in _FRACTION_SIGNS.items():
        text = text.replace(sign, f" {spelled}")
    text = re.sub(r"[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda run: "^" + run[0].translate(_SUPERSCRIPTS), text)
    text = unicodedata.normalize("NFKC", text)[-MAX_CHARS:].translate(_SIGNS)
    text = re.sub(r"\\[dt]?frac\s?\{(\d{1,15})\}\s?\{(\d{1,15})\}", r"\1/\2", text)
    text = re.sub(r"\\(?:times|cdot)\b", " * ", text)
    text = text.replace("\\%", "%").replace("^\\circ", "°").replace("^{\\circ}", "°").replace("\\circ", "°")
    text = re.sub(r"\\[,;:! ()\[\]]", " ", text)
    text = re.sub(r"\$([^$\n]{1,200})\$", r" \1 ", text)
    text = re.sub(r"</?answer>", lambda tag: "\n" if "/" in tag[0] else "\nanswer: ", text)
    return re.sub(r"\*\*|__|`|<\|[a-z_]{1,20}\|>", "", text)


def _last_boxed(text: str) -> str | None:
    """What the last complete `\\boxed{…}` holds."""
    found, opened = None, list[tuple[int, bool]]()
    for index, character in enumerate(text):
        if character == "{":
            opened.append((index, text.endswith("\\boxed", 0, index)))
        elif character == "}" and opened:
            start, is_boxed = opened.pop()
            if is_boxed and (found is None or start > found[0]):
                found = (start, index)
    return text[found[0] + 1 : found[1]] if found else None


def final_segment(completion: str) -> tuple[str, bool]:
    """The part that states the answer, on one line, and whether the completion marked it as such."""
    text = tidy(completion)
    thought_end = text.rfind("</think>")
    if thought_end >= 0:
        text = text[thought_end + len("</think>") :]
    boxed = _last_boxed(text)
    segment, is_marked = text, False
    if boxed is not None:
        segment, is_marked = boxed, True
    else:
        for marker in _MARKER.finditer(text):
            after = text[marker.end() :].strip()
            if after:
                segment, is_marked = after.splitlines()[0], True
    segment = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\b|[{}]", " ", segment)
    return " ".join(segment.split()), is_marked


def plain(text: str) -> str:
    """Case, punctuation, spacing, "the" and leading articles removed."""
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARS]).casefold()
    words = "".join(character if character.isalnum() else " " for character in folded.replace("'", "")).split()
    kept = [word for word in words if word != "the"] or words
    while len(kept) > 1 and kept[0] in _HEADS:
        kept = kept[1:]
    return " ".join(kept)
