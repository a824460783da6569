"""Formulas: small sums, comparisons, fractions and signs, written large."""

from services.generators.rendered.drawing import Box, Ellipse, Glyphs, Mark, Rgb, Stroke
from services.generators.rendered.scenes import Ask, Sketch, Template
from shared.domain import QuestionType

_OPERATIONS = {"plus": "+", "minus": "-", "times": "*", "divide": "/"}
_UNKNOWNS = ("x", "n", "k", "a", "y", "b")


def _ground(sketch: Sketch) -> None:
    sketch.background()
    if sketch.rng.random() < 0.4:
        color = sketch.rng.choice(("red", "blue", "green", "purple"))
        share = 0.55 if sketch.ink[0] < 128 else 0.0
        red, green, blue = sketch.shade(color)
        if share:
            sketch.ink = (round(red * share), round(green * share), round(blue * share))


def _operator_marks(sign: str, x: float, y: float, reach: float, fill: Rgb) -> list[Mark]:
    """An operator, drawn by strokes because the built-in face lacks most of them."""
    half = reach * 0.2
    flat = Box(x - reach, y - half, x + reach, y + half, fill)
    if sign == "-":
        return [flat]
    if sign == "+":
        return [flat, Box(x - half, y - reach, x + half, y + reach, fill)]
    if sign == "*":
        arm = reach * 0.8
        return [
            Stroke(((x - arm, y - arm), (x + arm, y + arm)), fill, half * 2),
            Stroke(((x - arm, y + arm), (x + arm, y - arm)), fill, half * 2),
        ]
    dot = reach * 0.3
    return [flat, *(Ellipse(x - dot, y + side - dot, x + dot, y + side + dot, fill) for side in (-reach * 0.75, reach * 0.75))]


def _write(sketch: Sketch, texts: list[str]) -> None:
    """Writes glyphs in one row as large as fits."""
    pitch = 0.96 / len(texts)
    height, y = min(0.75, pitch * 1.55) * sketch.uniform(0.9, 1.05), sketch.uniform(0.4, 0.6)
    for index, text in enumerate(texts):
        x = 0.02 + pitch * (index + 0.5)
        if text in _OPERATIONS.values():
            sketch.draw(*_operator_marks(text, x, y, pitch * 0.34, sketch.ink))
        else:
            sketch.draw(Glyphs(x, y, text, height * (0.72 if len(text) > 1 else 1.0), sketch.ink))


def _sum(sketch: Sketch) -> tuple[int, str, str]:
    """A small sum, its value drawn first so that values are spread; returns value, expression and what is written."""
    rng = sketch.rng
    kind = rng.random()
    if kind < 0.6 * (sketch.difficulty - 0.6):
        a, b = rng.randint(2, 5), rng.randint(2, 4)
        return a * b, f"{a}*{b}", f"{a}*{b}"
    if kind < 0.5 * sketch.difficulty:
        value = rng.randint(0, sketch.level(4, 9))
        b = rng.randint(1, max(1, 9 - value))
        return value, f"{value + b}-{b}", f"{value + b}-{b}"
    value = rng.randint(2, sketch.level(6, 18))
    a = rng.randint(max(1, value - 9), min(9, value - 1))
    return value, f"{a}+{value - a}", f"{a}+{value - a}"


def result(sketch: Sketch) -> Ask:
    """Works out a small sum."""
    _ground(sketch)
    value, expression, written = _sum(sketch)
    _write(sketch, list(written))
    sketch.add(id="f0", kind="formula", text=expression)
    options = [str(max(0, value + step)) for step in (-3, -2, -1, 1, 2, 3)]
    query = {"op": "evaluate", "expression": expression}
    return Ask("result", "What is the result?", query, str(value), f"formula {' '.join(written)} result {value}", options)


def sign(sketch: Sketch) -> Ask:
    """Chooses the sign that fits between two digits."""
    _ground(sketch)
    answer = sketch.rng.choice(("<", ">", "="))
    low, high = sorted(sketch.rng.sample(range(sketch.level(6, 10)), 2))
    left, right = {"<": (low, high), ">": (high, low), "=": (low, low)}[answer]
    _write(sketch, [str(left), "?", str(right)])
    sketch.add(id="left", kind="digit", side="left", value=left)
    sketch.add(id="right", kind="digit", side="right", value=right)
    query = {
        "op": "compare",
        "left": {"side": "left"},
        "right": {"side": "right"},
        "by": "value",
        "names": {"left": ">", "right": "<", "equal": "="},
    }
    return Ask("sign", "Which sign fits?", query, answer, f"numbers {left} and {right}", ("<", ">", "="))


def fraction(sketch: Sketch) -> Ask:
    """Reads the top or the bottom number of a fraction."""
    _ground(sketch)
    highest = sketch.level(6, 9)
    top, bottom = sketch.rng.randint(1, highest), sketch.rng.randint(1, highest)
    x, half = sketch.uniform(0.4, 0.6), sketch.uniform(0.2, 0.3)
    height = sketch.uniform(0.5, 0.56)
    sketch.draw(Glyphs(x, 0.23, str(top), height, sketch.ink), Glyphs(x, 0.77, str(bottom), height, sketch.ink))
    sketch.draw(Box(x - half, 0.48, x + half, 0.525, sketch.ink))
    sketch.add(id="top", kind="digit", side="top", value=top)
    sketch.add(id="bottom", kind="digit", side="bottom", value=bottom)
    side = sketch.rng.choice(("top", "bottom"))
    query = {"op": "attribute", "where": {"side": side}, "name": "value"}
    value = str(top if side == "top" else bottom)
    return Ask("fraction", f"What is the {side} number of the fraction?", query, value, f"fraction {top} over {bottom}")


def operation(sketch: Sketch) -> Ask:
    """Names the operation of a formula."""
    _ground(sketch)
    name = sketch.rng.choice(list(_OPERATIONS)[: sketch.level(3, 4)])
    left, right = sketch.rng.randint(1, 9), sketch.rng.randint(1, 9)
    _write(sketch, [str(left), _OPERATIONS[name], str(right)])
    sketch.add(id="f0", kind="formula", operation=name, left=left, right=right)
    query = {"op": "attribute", "where": {"kind": "formula"}, "name": "operation"}
    question = "Which operation is it: plus, minus, times or divide?"
    return Ask("operation", question, query, name, f"formula {left} {name} {right}", list(_OPERATIONS))


def unknown(sketch: Sketch) -> Ask:
    """Names the letter that stands for the unknown."""
    _ground(sketch)
    name, digit = sketch.rng.choice(_UNKNOWNS[: sketch.level(4, 6)]), sketch.rng.randint(1, 9)
    sign_text = sketch.rng.choice(("+", "-"))
    texts = [name, sign_text, str(digit)] if sketch.rng.random() < 0.6 else [str(digit), sign_text, name]
    _write(sketch, texts)
    sketch.add(id="f0", kind="formula", unknown=name, number=digit)
    query = {"op": "attribute", "where": {"kind": "formula"}, "name": "unknown"}
    return Ask("unknown", "Which letter is the unknown?", query, name, f"formula {' '.join(texts)}", _UNKNOWNS)


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (sign, result),
    QuestionType.NUMERIC: (result, fraction),
    QuestionType.TEXT: (operation, unknown),
}
