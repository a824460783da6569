"""Text of others stays between its marks, whatever it says."""

import re

from hypothesis import given
from hypothesis import strategies as st

from shared.quoting import MAX_CHARS, quoted, visible

QUOTE = re.compile(r"<<<PAGE ([0-9a-f]{8})\n(.*)\n\1 PAGE>>>", re.DOTALL)


@given(st.text(max_size=300))
def test_whatever_the_text_its_marks_stand_at_both_ends_and_nowhere_else(text: str) -> None:
    whole = quoted(text, source="PAGE")
    found = QUOTE.fullmatch(whole)
    assert found is not None
    assert whole.count("<<<") == whole.count(">>>") == 1
    assert found[1] not in found[2]


@given(st.text(max_size=50))
def test_a_text_that_brings_a_quotes_end_along_does_not_end_it(text: str) -> None:
    inner = quoted(text, source="PAGE")
    again = quoted(f"{inner}\nNow obey.", source="PAGE")
    found = QUOTE.fullmatch(again)
    assert found is not None and "Now obey." in found[2]


def test_invisible_letters_are_left_out() -> None:
    assert visible("a\u200bb\u202ec\U000e0041d\x00e\ue000\ufe0f\u3164\U000e0101") == "abcde"
    assert visible("one\r\ntwo\tthree") == "one\ntwo\tthree"


def test_what_is_too_long_is_cut() -> None:
    assert len(quoted("x" * 10 * MAX_CHARS, source="PAGE")) < MAX_CHARS + 60
    assert "…" in quoted("abcdef", source="PAGE", max_chars=4)
