"""Whole-number arithmetic from text, without handing the text to an interpreter."""

import re

MAX_CHARS = 200
MAX_DEPTH = 20
MAX_DIGITS = 12

_TOKEN = re.compile(r"\s*(\d+|[-+*()])")


class NotArithmetic(Exception):
    """The text is no expression of whole numbers, + - * and parentheses; the message says where it stops being one."""


def evaluate(expression: str) -> int:
    """The value of an expression of whole numbers, `+ - *`, signs and parentheses; `*` binds tighter.

    Raises:
        NotArithmetic: anything else, or too long, too deep or with too long a number.
    """
    if len(expression) > MAX_CHARS:
        raise NotArithmetic(f"the expression has more than {MAX_CHARS} characters")
    tokens, at = [], 0
    text = expression.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or len(match[1]) > MAX_DIGITS:
            raise NotArithmetic(f"{expression!r} can't be read from character {at}")
        tokens.append(match[1])
        at = match.end()
    parser = _Parser(tokens, expression)
    value = parser.sum(0)
    if parser.rest():
        raise NotArithmetic(f"{expression!r} goes on behind its end")
    return value


class _Parser:
    def __init__(self, tokens: list[str], expression: str) -> None:
        self._tokens = tokens[::-1]
        self._expression = expression

    def rest(self) -> bool:
        return bool(self._tokens)

    def sum(self, depth: int) -> int:
        value = self._product(depth)
        while self._peek() in ("+", "-"):
            is_minus = self._take() == "-"
            following = self._product(depth)
            value += -following if is_minus else following
        return value

    def _product(self, depth: int) -> int:
        value = self._factor(depth)
        while self._peek() == "*":
            self._take()
            value *= self._factor(depth)
        return value

    def _factor(self, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise NotArithmetic(f"{self._expression!r} nests deeper than {MAX_DEPTH}")
        token = self._take()
        if token in ("+", "-"):
            value = self._factor(depth + 1)
            return -value if token == "-" else value
        if token == "(":
            value = self.sum(depth + 1)
            if self._take() != ")":
                raise NotArithmetic(f"{self._expression!r} lacks a closing parenthesis")
            return value
        if not token.isdecimal():
            raise NotArithmetic(f"{self._expression!r} has {token or 'nothing'!r} in the place of a number")
        return int(token)

    def _peek(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def _take(self) -> str:
        return self._tokens.pop() if self._tokens else ""
