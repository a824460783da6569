"""Texts: words on signs, numbers and letters on cards."""

from services.generators.rendered.drawing import Box, Glyphs, Rgb
from services.generators.rendered.scenes import Ask, Sketch, Template, at
from shared.domain import QuestionType

WORDS = ("cat", "dog", "sun", "map", "cup", "bus", "hat", "key", "box", "ice", "pen", "fox")
LETTERS = ("A", "E", "H", "K", "M", "O", "T", "X", "C", "L", "P", "R", "S", "V", "W", "Z")
_BRIGHT = ("yellow", "pink", "orange")


def _contrast(color: str) -> Rgb:
    return (15, 15, 15) if color in _BRIGHT else (250, 250, 250)


def _big(sketch: Sketch, text: str, height: float) -> str:
    """Writes one large text, on a coloured sign half of the time; returns the sign's colour or "plain"."""
    sketch.background()
    x, y, fill, sign = sketch.uniform(0.46, 0.54), sketch.uniform(0.4, 0.6), sketch.ink, "plain"
    if sketch.rng.random() < 0.5:
        sign = sketch.rng.choice(sketch.color_names())
        half = min(0.48, height * 0.62)
        sketch.draw(Box(0.04, max(0.02, y - half), 0.96, min(0.98, y + half), sketch.shade(sign)))
        fill = _contrast(sign)
    sketch.draw(Glyphs(x, y, text, height, fill))
    return sign


def _cards(sketch: Sketch, texts: list[str], name: str) -> tuple[list[str], str]:
    """Writes texts on cards of distinct colours; returns the colours and the description."""
    sketch.background()
    num = len(texts)
    colors, parts = sketch.colors(num), []
    for index, (place, color, text) in enumerate(zip(sketch.places(num), colors, texts, strict=True)):
        half = place.room * 0.95
        sketch.draw(Box(place.x - half, place.y - half, place.x + half, place.y + half, sketch.shade(color)))
        sketch.draw(Glyphs(place.x, place.y, text, place.room * sketch.uniform(2.0, 2.4), _contrast(color)))
        sketch.add(id=f"c{index}", kind="card", color=color, text=text, x=at(place.x), y=at(place.y))
        parts.append(f"{color} {name} {text} {place.words}")
    return colors, ", ".join(parts)


def word(sketch: Sketch) -> Ask:
    """Reads one large word."""
    words = WORDS[: sketch.level(8, 12)]
    text = sketch.rng.choice(words)
    if sketch.rng.random() < 0.5:
        sign = _big(sketch, text.upper(), sketch.uniform(0.34, 0.41))
    else:
        sign = _big(sketch, text, sketch.uniform(0.42, 0.48))
    sketch.add(id="t0", kind="word", text=text, sign=sign)
    query = {"op": "attribute", "where": {"kind": "word"}, "name": "text"}
    return Ask("word", "Which word is written?", query, text, f"{sign} sign word {text}", words)


def letter(sketch: Sketch) -> Ask:
    """Reads one large letter."""
    letters = LETTERS[: sketch.level(6, 16)]
    text = sketch.rng.choice(letters)
    sign = _big(sketch, text, sketch.uniform(0.7, 0.95))
    sketch.add(id="t0", kind="letter", text=text, sign=sign)
    query = {"op": "attribute", "where": {"kind": "letter"}, "name": "text"}
    return Ask("letter", "Which letter is written?", query, text, f"{sign} sign letter {text}", letters)


def number(sketch: Sketch) -> Ask:
    """Reads one large number of one or two digits."""
    value = sketch.rng.randint(10, 20) if sketch.rng.random() < 0.1 + 0.6 * sketch.difficulty else sketch.rng.randint(0, 9)
    sign = _big(sketch, str(value), sketch.uniform(0.65, 0.75) if value > 9 else sketch.uniform(0.75, 0.95))
    sketch.add(id="t0", kind="number", value=value, sign=sign)
    query = {"op": "attribute", "where": {"kind": "number"}, "name": "value"}
    return Ask("number", "Which number is written?", query, str(value), f"{sign} sign number {value}")


def card_digit(sketch: Sketch) -> Ask:
    """Reads the digit on the card of a given colour."""
    num = sketch.rng.randint(1, sketch.level(2, 4))
    digits = [str(sketch.rng.randint(0, 9)) for _ in range(num)]
    colors, description = _cards(sketch, digits, "card")
    index = sketch.rng.randrange(num)
    query = {"op": "attribute", "where": {"color": colors[index]}, "name": "text"}
    return Ask("card_digit", f"Which number is on the {colors[index]} card?", query, digits[index], description)


def card_letter(sketch: Sketch) -> Ask:
    """Reads the letter on the card of a given colour."""
    num, letters = sketch.rng.randint(1, sketch.level(2, 4)), LETTERS[: sketch.level(6, 16)]
    texts = sketch.rng.sample(letters, num)
    colors, description = _cards(sketch, texts, "card")
    index = sketch.rng.randrange(num)
    query = {"op": "attribute", "where": {"color": colors[index]}, "name": "text"}
    return Ask("card_letter", f"Which letter is on the {colors[index]} card?", query, texts[index], description, letters)


def card_of_letter(sketch: Sketch) -> Ask:
    """Names the colour of the card that bears a given letter."""
    num, letters = sketch.rng.randint(2, sketch.level(2, 4)), LETTERS[: sketch.level(6, 16)]
    texts = sketch.rng.sample(letters, num)
    colors, description = _cards(sketch, texts, "card")
    index = sketch.rng.randrange(num)
    query = {"op": "attribute", "where": {"text": texts[index]}, "name": "color"}
    question = f"What color is the card with {texts[index]}?"
    return Ask("card_of_letter", question, query, colors[index], description, sketch.color_names())


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (word, card_of_letter),
    QuestionType.NUMERIC: (number, card_digit),
    QuestionType.TEXT: (letter, card_letter),
}
