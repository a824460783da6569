"""Words of captions and queries as the search compares them: without case, accents' variants, plural endings and function words."""

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+")
# Chinese, Japanese and Korean are written without spaces: their runs are compared by pairs of characters.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_FUNCTION_WORDS = frozenset(
    word
    for line in (
        "a an and are as at be but by for from if in into is it its no not of on or such",
        "that the their then there these they this to was were will with",
    )
    for word in line.split()
)


def words_of(text: str) -> Iterator[str]:
    """The words of a text in order, repeated ones included.

    Plurals lose their ending by the S-stemmer (Harman, "How Effective Is Suffixing?", 1991), which changes nothing else.
    """
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    for run in _WORD.findall(folded):
        if run.isascii():
            if run not in _FUNCTION_WORDS:
                yield _singular(run)
        else:
            yield from _mixed(run)


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]


def _mixed(run: str) -> Iterator[str]:
    at = 0
    for unspaced in _UNSPACED.finditer(run):
        if unspaced.start() > at:
            yield run[at : unspaced.start()]
        characters = unspaced.group()
        yield from (characters[i : i + 2] for i in range(max(1, len(characters) - 1)))
        at = unspaced.end()
    if at < len(run):
        yield run[at:]
