"""Personal data in a question or answer, by its pattern. Pure, and rather silent than wrong: a sum of numbers is no telephone number.

Found are e-mail addresses, telephone numbers that are written as such, payment cards and bank accounts whose check digits are right, and
US social security numbers that are called so. Not found are names, addresses of houses, and what is only to be seen in an image: for
these there is the hook of `screen_service.py`.
"""

import re
from collections.abc import Callable, Iterator

from shared.quoting import visible

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?!\w)")
_EXAMPLE = re.compile(r"@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|\w+\.(?:example|invalid|test))$", re.IGNORECASE)
_INTERNATIONAL = re.compile(r"(?<![\w)\]])(?<![\w)\]] )\+[1-9]\d{0,2}(?:[ .\-/]?(?:\(\d{1,4}\)|\d{1,4})){2,6}(?![\d\w])")
_BRACKETED = re.compile(r"(?<!\w)\([2-9]\d{2}\) ?[2-9]\d{2}[-. ]\d{4}(?!\d)")
_CALLED_PHONE = re.compile(
    r"\b(?:phone|telephone|tel|mobile|cell|fax|call|whatsapp)\b[^\d\n]{0,20}((?:\(?\d[\d ().\-/]{6,18}\d))(?!\d)", re.IGNORECASE
)
_CARD = re.compile(r"(?<![\d.,])[3-6]\d{3}(?:([ -]?)\d{4}\1\d{4}\1\d{4}|([ -]?)\d{6}\2\d{5})(?![\d.,]\d|\d)")
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])")
_SOCIAL_SECURITY = re.compile(
    r"\b(?:ssn|social security)\b[^\d\n]{0,30}(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?!\d)", re.IGNORECASE
)

_PHONE_DIGITS = range(8, 16)


def find_personal_data(text: str) -> str | None:
    """What kind of personal data a text holds, in words; None where none is seen."""
    shown = visible(text)
    return next((kind for kind, found in _KINDS.items() if next(found(shown), None)), None)


def _emails(text: str) -> Iterator[str]:
    # Addresses of domains that nobody can own are what teaching material is full of.
    return (found[0] for found in _EMAIL.finditer(text) if not _EXAMPLE.search(found[0]))


def _phones(text: str) -> Iterator[str]:
    for pattern in (_INTERNATIONAL, _BRACKETED, _CALLED_PHONE):
        for found in pattern.finditer(text):
            number = found[pattern.groups]
            # Single digits in a row are a series, not a number that somebody dials.
            if sum(map(str.isdecimal, number)) in _PHONE_DIGITS and re.search(r"\d\d", number):
                yield found[0]


def _cards(text: str) -> Iterator[str]:
    return (found[0] for found in _CARD.finditer(text) if _has_luhn_digit(found[0]))


def _accounts(text: str) -> Iterator[str]:
    return (found[0] for found in _IBAN.finditer(text) if _has_iban_digits(found[0].replace(" ", "")))


def _social_security_numbers(text: str) -> Iterator[str]:
    return (found[0] for found in _SOCIAL_SECURITY.finditer(text))


def _has_luhn_digit(number: str) -> bool:
    digits = [int(character) for character in number if character.isdigit()][::-1]
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[1::2]]
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _has_iban_digits(account: str) -> bool:
    if not 15 <= len(account) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97 == 1


_KINDS: dict[str, Callable[[str], Iterator[str]]] = {
    "an e-mail address": _emails,
    "a payment card number": _cards,
    "a bank account number": _accounts,
    "a social security number": _social_security_numbers,
    "a telephone number": _phones,
}
