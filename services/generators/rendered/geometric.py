"""Plane figures: names, colours, sizes, numbers and positions."""

import math

from services.generators.rendered.drawing import Arc, Box, Ellipse, Mark, Point, Polygon, Rgb
from services.generators.rendered.scenes import Ask, Place, Sketch, Template, at
from shared.domain import QuestionType

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "ring")
_PLURALS = {"cross": "crosses"}


def plural(shape: str) -> str:
    """The plural of a shape's name."""
    return _PLURALS.get(shape, f"{shape}s")


def regular(x: float, y: float, radius: float, num_corners: int, turn_deg: float) -> tuple[Point, ...]:
    """The corners of a regular polygon; at turn 0 one corner points up."""
    steps = [math.radians(turn_deg - 90 + 360 * corner / num_corners) for corner in range(num_corners)]
    return tuple((x + radius * math.cos(step), y + radius * math.sin(step)) for step in steps)


def shape_marks(shape: str, x: float, y: float, radius: float, fill: Rgb, turn_deg: float = 0.0) -> list[Mark]:
    """A named shape around a centre."""
    if shape == "circle":
        return [Ellipse(x - radius, y - radius, x + radius, y + radius, fill)]
    if shape == "ring":
        return [Arc(x, y, radius, 0, 360, fill, radius * 0.42)]
    if shape == "square":
        return [Polygon(regular(x, y, radius * 1.2, 4, 45 + turn_deg), fill)]
    if shape == "diamond":
        return [Polygon(((x, y - radius * 1.1), (x + radius * 0.75, y), (x, y + radius * 1.1), (x - radius * 0.75, y)), fill)]
    if shape == "triangle":
        return [Polygon(regular(x, y + radius * 0.15, radius * 1.15, 3, turn_deg), fill)]
    if shape == "cross":
        arm = radius * 0.34
        return [Box(x - arm, y - radius, x + arm, y + radius, fill), Box(x - radius, y - arm, x + radius, y + arm, fill)]
    outer, inner = regular(x, y, radius * 1.15, 5, turn_deg), regular(x, y, radius * 0.48, 5, 36 + turn_deg)
    return [Polygon(tuple(corner for pair in zip(outer, inner, strict=True) for corner in pair), fill)]


def _shapes_in_use(sketch: Sketch) -> list[str]:
    return list(SHAPES[: sketch.level(4, 7)])


def _put(sketch: Sketch, place: Place, shape: str, color: str, radius: float) -> None:
    sketch.draw(*shape_marks(shape, place.x, place.y, radius, sketch.shade(color), sketch.uniform(-8, 8)))
    sketch.add(id=f"s{len(sketch.objects)}", shape=shape, color=color, x=at(place.x), y=at(place.y), size=at(radius))


def _several(sketch: Sketch, num: int) -> tuple[list[str], list[str], str]:
    """Draws shapes of distinct kinds and colours; returns both lists and the description."""
    sketch.background()
    shapes, colors = sketch.rng.sample(_shapes_in_use(sketch), num), sketch.colors(num)
    places = sketch.places(num)
    for place, shape, color in zip(places, shapes, colors, strict=True):
        _put(sketch, place, shape, color, place.room * sketch.uniform(0.8, 1.0))
    parts = [f"{color} {shape} {place.words}" for place, shape, color in zip(places, shapes, colors, strict=True)]
    return shapes, colors, ", ".join(parts)


def shape_of_color(sketch: Sketch) -> Ask:
    """Names the shape of a given colour."""
    shapes, colors, description = _several(sketch, sketch.rng.randint(1, sketch.level(2, 4)))
    index = sketch.rng.randrange(len(shapes))
    query = {"op": "attribute", "where": {"color": colors[index]}, "name": "shape"}
    return Ask("shape_of_color", f"Which shape is {colors[index]}?", query, shapes[index], description, _shapes_in_use(sketch))


def color_of_shape(sketch: Sketch) -> Ask:
    """Names the colour of a given shape."""
    shapes, colors, description = _several(sketch, sketch.rng.randint(1, sketch.level(2, 4)))
    index = sketch.rng.randrange(len(shapes))
    query = {"op": "attribute", "where": {"shape": shapes[index]}, "name": "color"}
    return Ask("color_of_shape", f"What color is the {shapes[index]}?", query, colors[index], description, sketch.color_names())


def largest(sketch: Sketch) -> Ask:
    """Names the colour of the largest or smallest of shapes whose sizes differ clearly."""
    sketch.background()
    num = sketch.rng.randint(2, sketch.level(2, 4))
    colors, places = sketch.colors(num), sketch.places(num)
    shape = sketch.rng.choice(_shapes_in_use(sketch))
    is_largest = sketch.rng.random() < 0.5
    extreme = sketch.rng.randrange(num)
    parts = []
    for index, (place, color) in enumerate(zip(places, colors, strict=True)):
        is_big = (index == extreme) == is_largest
        _put(sketch, place, shape, color, place.room * (sketch.uniform(0.9, 1.0) if is_big else sketch.uniform(0.4, 0.6)))
        parts.append(f"{'big' if is_big else 'small'} {color} {shape} {place.words}")
    query = {"op": "argmax" if is_largest else "argmin", "by": "size", "name": "color"}
    question = f"What color is the {'largest' if is_largest else 'smallest'} shape?"
    return Ask("largest", question, query, colors[extreme], ", ".join(parts), colors if num > 2 else sketch.color_names())


def count_shapes(sketch: Sketch) -> Ask:
    """Counts all shapes."""
    sketch.background()
    num = sketch.rng.randint(1, sketch.level(4, 8))
    places = sketch.places(num, is_crowded=sketch.rng.random() < 0.5)
    shape, color = sketch.rng.choice(_shapes_in_use(sketch)), sketch.rng.choice(sketch.color_names())
    for place in places:
        _put(sketch, place, shape, color, place.room * sketch.uniform(0.75, 0.95))
    name = shape if num == 1 else plural(shape)
    return Ask("count_shapes", "How many shapes are there?", {"op": "count", "where": {}}, str(num), f"{num} {color} {name}")


def count_color(sketch: Sketch) -> Ask:
    """Counts the shapes of one colour among two colours."""
    sketch.background()
    most = sketch.level(3, 5)
    num, num_others = sketch.rng.randint(0, most), sketch.rng.randint(1, sketch.level(2, 4))
    wanted, other = sketch.colors(2)
    colors = [wanted] * num + [other] * num_others
    sketch.rng.shuffle(colors)
    places = sketch.places(len(colors), is_crowded=sketch.rng.random() < 0.3)
    shape = sketch.rng.choice(_shapes_in_use(sketch))
    for place, color in zip(places, colors, strict=True):
        _put(sketch, place, shape, color, place.room * sketch.uniform(0.8, 0.95))
    parts = [f"{color} {place.words}" for place, color in zip(places, colors, strict=True)]
    query = {"op": "count", "where": {"color": wanted}}
    return Ask("count_color", f"How many {wanted} shapes are there?", query, str(num), f"{plural(shape)}: {', '.join(parts)}")


def count_sides(sketch: Sketch) -> Ask:
    """Counts the sides of one large polygon."""
    sketch.background()
    num, color = sketch.rng.randint(3, sketch.level(6, 8)), sketch.rng.choice(sketch.color_names())
    x, y, radius = sketch.uniform(0.46, 0.54), sketch.uniform(0.46, 0.54), sketch.uniform(0.36, 0.44)
    turn = sketch.uniform(-10, 10) + (180 / num if num % 2 == 0 else 0)
    sketch.draw(Polygon(regular(x, y, radius, num, turn), sketch.shade(color)))
    sketch.add(id="s0", shape="polygon", color=color, sides=num, x=at(x), y=at(y), size=at(radius))
    query = {"op": "attribute", "where": {"shape": "polygon"}, "name": "sides"}
    return Ask("count_sides", "How many sides does the shape have?", query, str(num), f"{color} shape with {num} sides")


def relation(sketch: Sketch) -> Ask:
    """Says on which side of one shape another lies."""
    sketch.background()
    answer = sketch.rng.choice(("left", "right", "above", "below"))
    far, off = sketch.uniform(0.21, 0.27), sketch.uniform(-0.1, 0.1)
    step = -far if answer in ("left", "above") else far
    first, second = (0.5 + step, 0.5 + off), (0.5 - step, 0.5 - off)
    if answer in ("above", "below"):
        first, second = (first[1], first[0]), (second[1], second[0])
    colors = sketch.colors(2)
    words = {"left": ("left", "right"), "right": ("right", "left"), "above": ("top", "bottom"), "below": ("bottom", "top")}[answer]
    pairs = [(Place(*first, 0.2, words[0]), colors[0]), (Place(*second, 0.2, words[1]), colors[1])]
    parts = []
    for place, color in pairs if sketch.rng.random() < 0.5 else pairs[::-1]:
        shape = sketch.rng.choice(_shapes_in_use(sketch))
        _put(sketch, place, shape, color, place.room * sketch.uniform(0.8, 1.0))
        parts.append(f"{color} {shape} {place.words}")
    query = {"op": "relation", "of": {"color": colors[0]}, "to": {"color": colors[1]}}
    question = f"Where is the {colors[0]} shape relative to the {colors[1]} shape?"
    return Ask("relation", question, query, answer, ", ".join(parts), ("left", "right", "above", "below"))


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (shape_of_color, largest),
    QuestionType.NUMERIC: (count_shapes, count_color, count_sides),
    QuestionType.TEXT: (color_of_shape, relation),
}
