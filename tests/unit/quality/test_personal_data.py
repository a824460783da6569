"""Personal data are found as people write them, and what merely holds numbers is left alone."""

import pytest

from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.personal_data import find_personal_data

FOUND = {
    "an e-mail address": [
        "Write to jane.doe+tag@mail-host.co.uk, please",
        "j@gmail.com",
        "Ｊane@gmail.com",
        "hidden: ja\u200bne@gma\u200bil.com",
    ],
    "a payment card number": ["4111 1111 1111 1111", "card 5500-0000-0000-0004.", "378282246310005"],
    "a bank account number": ["IBAN DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "a social security number": ["SSN: 123-45-6789", "Her social security number is 123-45-6789"],
    "a telephone number": ["+49 30 901820", "(212) 555-0187", "Call 212-555-0187 now", "tel: 030 / 901820 12", "+1 (212) 555-0187"],
}
LEFT_ALONE = [
    "How many red dots are there?",
    "Write to somebody@example.com",
    "user@host.test",
    "What is 920-410-5000?",
    "What is (212) + 555 - 0187?",
    "Evaluate 5 + 1234567890 - 3",
    "x = 1 +49 30 901820",
    "What follows +1 2 3 4 5 6 7 8?",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "ISBN 978-3-16-148410-0",
    "123-45-6789",
    "From 2010-2012 to 2014-2016",
    "The bars read 4111111.1, 111111 and 11.",
    "DE89 3704 0044 0532 0130 01",
    "a@b",
    "3.14159265358979323846",
    "What time does the call at 10:30 end?",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_personal_data_are_found_by_kind(kind: str, text: str) -> None:
    assert find_personal_data(text) == kind


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_numbers_and_formulas_are_left_alone(text: str) -> None:
    assert find_personal_data(text) is None


def test_no_drawn_question_is_taken_for_personal_data() -> None:
    num = 0
    for cell in CELLS:
        for difficulty in (0.0, 1.0):
            for made in make_candidates(cell, 25, 11, difficulty, 64):
                text = "\n".join([made.question, *made.choices, made.answer])
                assert find_personal_data(text) is None, text
                num += 1
    assert num > 1000


def test_long_hostile_texts_take_no_longer_than_they_are() -> None:
    for text in ("a" * 5000 + "@", "1 " * 2500, "+1" * 2500, "call " + "(1" * 2500, "a.b-" * 1000 + "@" + "c." * 1000, "AB12 " * 1000):
        find_personal_data(text)
