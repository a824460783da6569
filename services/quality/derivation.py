"""Deriving an answer again from a scene's objects and query, without any of the generator's code.

What is ambiguous (two objects match, two are largest, a diagonal is neither left nor above) is not guessed: no label can be verified
against it.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.quality.arithmetic import NotArithmetic, evaluate
from services.quality.scene_description import (
    Aggregate,
    Attribute,
    Compare,
    Count,
    Evaluate,
    Exists,
    Extreme,
    Follow,
    Nth,
    Relation,
    Scalar,
    SceneDescription,
    Where,
)
from shared.domain import QuestionType
from shared.prompt import LETTERS
from shared.quantities import find_quantities

Object = Mapping[str, Scalar | None]
Value = str | int | float


class Underivable(Exception):
    """The scene does not settle the answer; the text says why."""


def derive(scene: SceneDescription) -> Value:
    """The answer that follows from a scene: a number, or a text.

    Raises:
        Underivable: no or several answers follow.
    """
    value: Value = _DERIVATIONS[type(scene.query)](scene.objects, scene.query)
    return value


def label_matches(value: Value, *, question_type: QuestionType, choices: Sequence[str], answer: str) -> bool:
    """Whether a label says the derived value: the letter of the choice that says it, the number as far as it is written, or the text."""
    if question_type is QuestionType.MULTIPLE_CHOICE:
        letters = [letter for letter, choice in zip(LETTERS, choices, strict=False) if _says(choice, value)]
        return letters == [answer.strip()]
    return _says(answer, value)


def foreign_word(scene: SceneDescription, question: str) -> str | None:
    """A word of the question that names another object than the query selects, or None.

    A question about the blue bar whose query selects the red one is answered rightly and still wrong. Questions may paraphrase, so
    only this counts: the query's value of an attribute is absent, and another object's value of that attribute is there.
    """
    text = f" {_words(question)} "
    for attribute, value in _selected(scene):
        if not isinstance(value, str) or _mentions(text, value):
            continue
        others = {other[attribute] for other in scene.objects if isinstance(other.get(attribute), str)} - {value}
        named = next((other for other in sorted(map(str, others)) if _mentions(text, other)), None)
        if named is not None:
            return f"asks about {named!r} where its query selects {attribute} {value!r}"
    return None


def _selected(scene: SceneDescription) -> list[tuple[str, Scalar | None]]:
    """Attributes by which the query picks objects, with their values."""
    query = scene.query
    if isinstance(query, Compare):
        return [pair for pair in (*query.left.items(), *query.right.items()) if pair[0] != "id"]
    if isinstance(query, Relation):
        return [*query.of.items(), *query.to.items()]
    if isinstance(query, Follow):
        return [(query.name, found.get(query.name)) for found in scene.objects if found.get("id") == query.start]
    where: Where = getattr(query, "where", {})
    return list(where.items())


def _mentions(text: str, value: str) -> bool:
    word = _words(value)
    return len(word) > 2 and any(f" {word}{ending} " in text for ending in ("", "s", "es"))


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _says(text: str, value: Value) -> bool:
    if isinstance(value, str):
        return _folded(text) == _folded(value)
    found = find_quantities(text.strip())
    if len(found) != 1:
        return False
    decimals = re.search(r"\.(\d+)", text)
    allowed = 0.5 * 10.0 ** -len(decimals[1]) if decimals else 0.0
    return abs(found[0].value - value) <= allowed + 1e-9 * max(1.0, abs(value))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _is_number(value: Scalar | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(first: Scalar | None, second: Scalar | None) -> bool:
    if _is_number(first) and _is_number(second):
        return first == second
    return type(first) is type(second) and first == second


def _matching(objects: Sequence[Object], where: Where) -> list[Object]:
    for name in where:
        if objects and not any(name in found for found in objects):
            raise Underivable(f"no object has the attribute {name!r}")
    return [found for found in objects if all(name in found and _equal(found[name], value) for name, value in where.items())]


def _single(objects: Sequence[Object], where: Where) -> Object:
    found = _matching(objects, where)
    if len(found) != 1:
        raise Underivable(f"{len(found)} objects match {where}; one must")
    return found[0]


def _number(found: Object, name: str) -> float:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Underivable(f"{name!r} of object {found.get('id')!r} is {value!r}, no number")
    return value


def _value(found: Object, name: str) -> Value:
    value = found.get(name)
    if value is None:
        raise Underivable(f"object {found.get('id')!r} has no {name!r}")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value


def _count(objects: Sequence[Object], query: Count) -> Value:
    return len(_matching(objects, query.where))


def _exists(objects: Sequence[Object], query: Exists) -> Value:
    return "yes" if _matching(objects, query.where) else "no"


def _attribute(objects: Sequence[Object], query: Attribute) -> Value:
    return _value(_single(objects, query.where), query.name)


def _extreme(objects: Sequence[Object], query: Extreme) -> Value:
    found = _matching(objects, query.where)
    if not found:
        raise Underivable(f"no object matches {query.where}")
    numbers = [_number(each, query.by) for each in found]
    best = max(numbers) if query.op == "argmax" else min(numbers)
    if numbers.count(best) > 1:
        raise Underivable(f"{numbers.count(best)} objects share the extreme {query.by} {best}")
    return _value(found[numbers.index(best)], query.name)


def _aggregate(objects: Sequence[Object], query: Aggregate) -> Value:
    numbers = [_number(found, query.of) for found in _matching(objects, query.where)]
    if not numbers:
        raise Underivable(f"no object matches {query.where}")
    if query.op == "difference":
        if len(numbers) != 2:
            raise Underivable(f"{len(numbers)} objects match {query.where}; a difference needs two")
        return abs(numbers[0] - numbers[1])
    if query.op == "sum":
        return math.fsum(numbers)
    return max(numbers) if query.op == "maximum" else min(numbers)


def _compare(objects: Sequence[Object], query: Compare) -> Value:
    left, right = (_number(_single(objects, where), query.by) for where in (query.left, query.right))
    if left == right:
        return query.names.equal
    return query.names.left if left > right else query.names.right


def _relation(objects: Sequence[Object], query: Relation) -> Value:
    of, to = _single(objects, query.of), _single(objects, query.to)
    across, down = _number(of, "x") - _number(to, "x"), _number(of, "y") - _number(to, "y")
    if abs(across) == abs(down):
        raise Underivable("neither direction dominates")
    if abs(across) > abs(down):
        return "right" if across > 0 else "left"
    return "below" if down > 0 else "above"


def _evaluate(objects: Sequence[Object], query: Evaluate) -> Value:
    try:
        value = evaluate(query.expression)
    except NotArithmetic as error:
        raise Underivable(str(error)) from error
    drawn = [shown for found in objects for name, shown in found.items() if name != "id" and isinstance(shown, str) and _is_formula(shown)]
    if drawn and not any("".join(shown.split()) == "".join(query.expression.split()) for shown in drawn):
        raise Underivable(f"the query evaluates {query.expression!r}, but the objects show {drawn[0]!r}")
    return value


def _is_formula(text: str) -> bool:
    try:
        evaluate(text)
    except NotArithmetic:
        return False
    return not text.strip().isdecimal()


def _follow(objects: Sequence[Object], query: Follow) -> Value:
    at: Scalar | None = query.start
    found = _single(objects, {"id": query.start})
    for _ in range(query.steps):
        at = found.get(query.edge)
        if at is None or at == "":
            raise Underivable(f"the way ends at object {found.get('id')!r}")
        found = _single(objects, {"id": at})
    return _value(found, query.name)


def _nth(objects: Sequence[Object], query: Nth) -> Value:
    found = sorted(_matching(objects, query.where), key=lambda each: _number(each, query.order_by))
    if query.index >= len(found):
        raise Underivable(f"there are {len(found)} objects, none at {query.index}")
    wanted = _number(found[query.index], query.order_by)
    if sum(_number(each, query.order_by) == wanted for each in found) > 1:
        raise Underivable(f"several objects have the {query.order_by} {wanted}")
    return _value(found[query.index], query.name)


_DERIVATIONS: dict[type, Callable[[Sequence[Object], Any], Value]] = {
    Count: _count,
    Exists: _exists,
    Attribute: _attribute,
    Extreme: _extreme,
    Aggregate: _aggregate,
    Compare: _compare,
    Relation: _relation,
    Evaluate: _evaluate,
    Follow: _follow,
    Nth: _nth,
}
