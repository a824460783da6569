"""Numbers with units, read from text as people and models write them.

`12.50`, `1,234`, `1/2`, `1 1/2`, `−3`, `6.0e3`, `5.7 million`, `50 %`, `$5`, `3 km`, `twelve apples`. Regular expressions here match in
linear time; the caller bounds the length.
"""

import math
import re
from dataclasses import dataclass

_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "bn": 1e9, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9}
_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES: dict[str, int] = {
    "none": 0,
    "zero": 0,
    **{word: value for value, word in enumerate(_UNITS, 1)},
    **{word: value for value, word in enumerate(_TEENS, 10)},
    **dict(zip(_TENS, range(20, 100, 10), strict=True)),
}
_SMALL = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_UNITS)}))?|{'|'.join((*_TEENS, *_UNITS, 'zero', 'none'))})"
_SPELLED = re.compile(rf"\b{_SMALL}(?:\shundred(?:\s(?:and\s)?{_SMALL})?)?\b", re.IGNORECASE)

_PREFIXES = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "c": 1e-2, "d": 1e-1, "k": 1e3, "M": 1e6, "G": 1e9}
_PREFIX_WORDS = {"nano": 1e-9, "micro": 1e-6, "milli": 1e-3, "centi": 1e-2, "deci": 1e-1, "kilo": 1e3, "mega": 1e6, "giga": 1e9}
_SYMBOLS = {
    "m": "length",
    "g": "mass",
    "s": "time",
    "L": "volume",
    "l": "volume",
    "W": "power",
    "V": "voltage",
    "A": "current",
    "Hz": "frequency",
    "J": "energy",
    "N": "force",
    "Pa": "pressure",
}
_NAMES = {
    "meter": "length",
    "metre": "length",
    "gram": "mass",
    "gramme": "mass",
    "second": "time",
    "liter": "volume",
    "litre": "volume",
    "watt": "power",
    "volt": "voltage",
    "ampere": "current",
    "hertz": "frequency",
    "joule": "energy",
    "newton": "force",
    "pascal": "pressure",
}
_FIXED: dict[str, tuple[str, float]] = {
    "sec": ("time", 1.0),
    "min": ("time", 60.0),
    "minute": ("time", 60.0),
    "h": ("time", 3600.0),
    "hr": ("time", 3600.0),
    "hour": ("time", 3600.0),
    "day": ("time", 86400.0),
    "week": ("time", 604800.0),
    "inch": ("length", 0.0254),
    "inches": ("length", 0.0254),
    "ft": ("length", 0.3048),
    "foot": ("length", 0.3048),
    "feet": ("length", 0.3048),
    "mile": ("length", 1609.344),
    "lb": ("mass", 453.59237),
    "oz": ("mass", 28.349523125),
    "tonne": ("mass", 1e6),
    "°": ("angle", 1.0),
    "deg": ("angle", 1.0),
    "degree": ("angle", 1.0),
    "°c": ("celsius", 1.0),
    "celsius": ("celsius", 1.0),
    "°f": ("fahrenheit", 1.0),
    "fahrenheit": ("fahrenheit", 1.0),
    "$": ("dollar", 1.0),
    "usd": ("dollar", 1.0),
    "dollar": ("dollar", 1.0),
    "€": ("euro", 1.0),
    "eur": ("euro", 1.0),
    "euro": ("euro", 1.0),
    "£": ("sterling", 1.0),
    "gbp": ("sterling", 1.0),
}

_QUANTITY = re.compile(
    r"""
    (?P<sign>^[-+]\s?|(?<![\w).])[-+](?=[\d.$€£]))?
    (?P<currency>[$€£]\s?)?
    (?:
        (?<![\w.])(?:(?P<whole>\d{1,15})\s)?(?P<over>\d{1,15})\s?/\s?(?P<under>\d{1,15})(?![\d/])
      | (?<![\d.])(?P<number>\d{1,3}(?:,\d{3}){1,8}(?![\d,])|\d+)(?P<decimals>\.\d+)?
      | (?<![\w.])(?P<bare>\.\d+)
    )
    (?P<exponent>[eE][-+]?\d{1,3}(?!\w)|\s?(?:x|×|\*)\s?10\s?\^\s?\{?[-+]?\d{1,3}\}?)?
    (?:\s?(?P<scale>thousand|million|billion|trillion|bn|[kKMB])(?![A-Za-z^/]))?
    (?:\s?(?P<percent>%|percent\b|per\ cent\b)
      | \s?(?P<unit>°\s?[CcFf]?(?![A-Za-z])|[€£$](?!\d)|[A-Za-zµμ]{1,20}(?:\^?[23](?!\d))?(?:\s?/\s?[A-Za-zµμ]{1,20}(?:\^?[23](?!\d))?)?)
    )?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A physical dimension and the factor to its base unit."""

    dimension: str
    factor: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """A finite number as written at `start`:`end`, with its unit if it names one that is known."""

    value: float
    unit: Unit | None
    is_percent: bool
    start: int
    end: int


def _simple_unit(name: str) -> Unit | None:
    power = 1
    if name[-1:] in ("2", "3"):
        name, power = name[:-1].rstrip("^"), int(name[-1])
    found = _named(name)
    if found is None and len(name) > 1 and name.isupper():
        found = _named(name.lower())
    if found is None:
        return None
    dimension, factor = found
    return Unit(dimension if power == 1 else f"{dimension}^{power}", factor**power)


def _named(name: str) -> tuple[str, float] | None:
    lower = name.lower().replace(" ", "")
    singular = lower[:-1] if lower.endswith("s") and len(lower) > 2 else lower
    for spelling in (lower, singular):
        if spelling in _FIXED:
            return _FIXED[spelling]
        if spelling in _NAMES:
            return _NAMES[spelling], 1.0
        for prefix, factor in _PREFIX_WORDS.items():
            if spelling.startswith(prefix) and spelling[len(prefix) :] in _NAMES:
                return _NAMES[spelling[len(prefix) :]], factor
    if name in _SYMBOLS:
        return _SYMBOLS[name], 1.0
    if name[:1] in _PREFIXES and name[1:] in _SYMBOLS:
        return _SYMBOLS[name[1:]], _PREFIXES[name[0]]
    return None


def parse_unit(text: str) -> Unit | None:
    """The unit that a word, a symbol or a quotient of two names; None where it names none."""
    upper, _, lower = text.strip().partition("/")
    unit = _simple_unit(upper.strip())
    if unit is None or not lower:
        return unit
    per = _simple_unit(lower.strip())
    return Unit(f"{unit.dimension}/{per.dimension}", unit.factor / per.factor) if per else None


def _value(match: re.Match[str]) -> float:
    if match["over"]:
        under = float(match["under"])
        value = (float(match["whole"] or 0) + float(match["over"]) / under) if under else math.nan
    elif match["bare"]:
        value = float(match["bare"])
    else:
        value = float(match["number"].replace(",", "") + (match["decimals"] or ""))
    if match["exponent"]:
        power = re.sub(r"^\s?(?:[eE]|(?:x|×|\*)\s?10\s?\^\s?\{?)|\}$", "", match["exponent"])
        value = float(f"{value!r}e{int(power)}") if "e" not in repr(value) else value * 10.0 ** int(power)
    if match["scale"]:
        value *= _SCALES[match["scale"]]
    return -value if (match["sign"] or "").startswith("-") else value


def digits_for_words(text: str) -> str:
    """Spelled numbers below a thousand written as digits, unless the text holds digits already."""
    if any(character.isdigit() for character in text):
        return text
    return _SPELLED.sub(lambda match: str(_spelled_value(match[0])), text)


def _spelled_value(spelled: str) -> int:
    total = 0
    for word in re.split(r"[\s-]", spelled.lower()):
        total = total * 100 if word == "hundred" else total + _VALUES.get(word, 0)
    return total


def find_quantities(text: str) -> list[Quantity]:
    """The quantities written in digits, in order; "1 h 30 min" is one of them."""
    found: list[Quantity] = []
    for match in _QUANTITY.finditer(text):
        value = _value(match)
        if not math.isfinite(value):
            continue
        name, end = match["unit"] or (match["currency"] or "").strip(), match.end()
        unit = parse_unit(name) if name else None
        if unit is None and match["unit"]:
            end = match.start("unit")
        quantity = Quantity(value, unit, match["percent"] is not None, match.start(), end)
        joined = _join(found[-1], quantity, text) if found else None
        found[-1:] = [joined] if joined else [*found[-1:], quantity]
    return found


def _join(first: Quantity, second: Quantity, text: str) -> Quantity | None:
    """One quantity for a larger unit followed by a smaller one of the same dimension."""
    if not first.unit or not second.unit or first.unit.dimension != second.unit.dimension or first.unit.factor <= second.unit.factor:
        return None
    if text[first.end : second.start].strip() not in ("", "and"):
        return None
    return Quantity(first.value + second.value * second.unit.factor / first.unit.factor, first.unit, False, first.start, second.end)
