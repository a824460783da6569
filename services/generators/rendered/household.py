"""Everyday objects: cups, balls, dice, clocks, traffic lights."""

import math
from collections.abc import Callable

from services.generators.rendered.drawing import Arc, Box, Ellipse, Mark, Polygon, Rgb, Stroke
from services.generators.rendered.scenes import Ask, Sketch, Template, at
from shared.domain import QuestionType

_DARK: Rgb = (45, 45, 50)


def _cup(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    handle = Arc(x + r * 0.55, y + r * 0.05, r * 0.5, -90, 90, fill, r * 0.2)
    body = ((x - r * 0.7, y - r * 0.8), (x + r * 0.6, y - r * 0.8), (x + r * 0.45, y + r * 0.85), (x - r * 0.55, y + r * 0.85))
    return [handle, Polygon(body, fill)]


def _ball(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    band = Arc(x - r * 0.9, y, r * 0.95, -58, 58, (250, 250, 250), r * 0.14)
    other = Arc(x + r * 0.9, y, r * 0.95, 122, 238, (250, 250, 250), r * 0.14)
    return [Ellipse(x - r * 0.9, y - r * 0.9, x + r * 0.9, y + r * 0.9, fill), band, other]


def _book(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    page = (250, 248, 235)
    return [
        Polygon(((x - r, y - r * 0.6), (x, y - r * 0.35), (x, y + r * 0.85), (x - r, y + r * 0.6)), fill),
        Polygon(((x + r, y - r * 0.6), (x, y - r * 0.35), (x, y + r * 0.85), (x + r, y + r * 0.6)), fill),
        Polygon(((x - r * 0.85, y - r * 0.75), (x, y - r * 0.5), (x, y + r * 0.65), (x - r * 0.85, y + r * 0.4)), page),
        Polygon(((x + r * 0.85, y - r * 0.75), (x, y - r * 0.5), (x, y + r * 0.65), (x + r * 0.85, y + r * 0.4)), page),
        Stroke(((x, y - r * 0.5), (x, y + r * 0.85)), fill, r * 0.12),
    ]


def _chair(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    w = r * 0.26
    return [
        Box(x - r * 0.7, y - r, x - r * 0.7 + w, y + r, fill),
        Box(x - r * 0.7, y, x + r * 0.7, y + w, fill),
        Box(x + r * 0.7 - w, y, x + r * 0.7, y + r, fill),
    ]


def _table(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    return [
        Box(x - r, y - r * 0.45, x + r, y - r * 0.15, fill),
        Box(x - r * 0.8, y - r * 0.15, x - r * 0.58, y + r * 0.8, fill),
        Box(x + r * 0.58, y - r * 0.15, x + r * 0.8, y + r * 0.8, fill),
    ]


def _bottle(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    return [
        Box(x - r * 0.16, y - r * 0.85, x + r * 0.16, y, fill),
        Ellipse(x - r * 0.42, y - r * 0.45, x + r * 0.42, y + r * 0.4, fill),
        Box(x - r * 0.42, y, x + r * 0.42, y + r, fill),
        Box(x - r * 0.22, y - r, x + r * 0.22, y - r * 0.78, _DARK),
    ]


def _lamp(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    shade = ((x - r * 0.4, y - r), (x + r * 0.4, y - r), (x + r * 0.85, y), (x - r * 0.85, y))
    return [
        Box(x - r * 0.08, y, x + r * 0.08, y + r * 0.85, (120, 110, 100)),
        Box(x - r * 0.5, y + r * 0.8, x + r * 0.5, y + r, (120, 110, 100)),
        Polygon(shade, fill),
    ]


def _umbrella(x: float, y: float, r: float, fill: Rgb) -> list[Mark]:
    steps = [math.pi + math.pi * step / 12 for step in range(13)]
    dome = tuple((x + r * math.cos(step), y + r * math.sin(step)) for step in steps)
    return [
        Stroke(((x, y - r), (x, y + r * 0.8)), (110, 100, 90), r * 0.12),
        Polygon(dome, fill),
        Arc(x - r * 0.2, y + r * 0.7, r * 0.25, 0, 180, (110, 100, 90), r * 0.12),
    ]


OBJECTS: dict[str, Callable[[float, float, float, Rgb], list[Mark]]] = {
    "cup": _cup,
    "ball": _ball,
    "book": _book,
    "chair": _chair,
    "table": _table,
    "bottle": _bottle,
    "lamp": _lamp,
    "umbrella": _umbrella,
}


def _names(sketch: Sketch) -> list[str]:
    return list(OBJECTS)[: sketch.level(5, 8)]


def _several(sketch: Sketch, num: int) -> tuple[list[str], list[str], str]:
    """Draws different objects of different colours; returns both lists and the description."""
    sketch.background()
    kinds, colors, parts = sketch.rng.sample(_names(sketch), num), sketch.colors(num), []
    for index, (place, kind, color) in enumerate(zip(sketch.places(num), kinds, colors, strict=True)):
        sketch.draw(*OBJECTS[kind](place.x, place.y, place.room * sketch.uniform(0.95, 1.1), sketch.shade(color)))
        sketch.add(id=f"o{index}", kind=kind, color=color, x=at(place.x), y=at(place.y))
        parts.append(f"{color} {kind} {place.words}")
    return kinds, colors, ", ".join(parts)


def which_object(sketch: Sketch) -> Ask:
    """Names the object of a given colour."""
    kinds, colors, description = _several(sketch, sketch.rng.randint(1, sketch.level(2, 4)))
    index = sketch.rng.randrange(len(kinds))
    query = {"op": "attribute", "where": {"color": colors[index]}, "name": "kind"}
    return Ask("which_object", f"Which object is {colors[index]}?", query, kinds[index], description, _names(sketch))


def object_color(sketch: Sketch) -> Ask:
    """Names the colour of a given object."""
    kinds, colors, description = _several(sketch, sketch.rng.randint(1, sketch.level(2, 4)))
    index = sketch.rng.randrange(len(kinds))
    query = {"op": "attribute", "where": {"kind": kinds[index]}, "name": "color"}
    return Ask("object_color", f"What color is the {kinds[index]}?", query, colors[index], description, sketch.color_names())


def count_objects(sketch: Sketch) -> Ask:
    """Counts objects of one kind."""
    sketch.background()
    num, kind = sketch.rng.randint(1, sketch.level(4, 8)), sketch.rng.choice(("cup", "ball", "book", "chair", "lamp")[: sketch.level(4, 5)])
    color = sketch.rng.choice(sketch.color_names())
    for index, place in enumerate(sketch.places(num, is_crowded=sketch.rng.random() < 0.4)):
        sketch.draw(*OBJECTS[kind](place.x, place.y, place.room * sketch.uniform(0.9, 1.05), sketch.shade(color)))
        sketch.add(id=f"o{index}", kind=kind, color=color, x=at(place.x), y=at(place.y))
    query = {"op": "count", "where": {"kind": kind}}
    return Ask("count_objects", f"How many {kind}s are there?", query, str(num), f"{num} {color} {kind}{'s' if num > 1 else ''}")


def die(sketch: Sketch) -> Ask:
    """Reads a die."""
    sketch.background()
    value, color = sketch.rng.randint(1, 6), sketch.rng.choice(sketch.color_names())
    x, y, half = sketch.uniform(0.45, 0.55), sketch.uniform(0.45, 0.55), sketch.uniform(0.36, 0.42)
    face, dots = (sketch.shade(color), (250, 250, 250)) if sketch.rng.random() < 0.5 else (sketch.near((248, 246, 240), 6), _DARK)
    sketch.draw(
        Box(x - half - 0.02, y - half - 0.02, x + half + 0.02, y + half + 0.02, sketch.ink),
        Box(x - half, y - half, x + half, y + half, face),
    )
    step, radius = half * 0.55, half * 0.21
    corners = [(-1, -1), (1, 1), (1, -1), (-1, 1), (-1, 0), (1, 0)]
    spots = [*([(0, 0)] if value % 2 else []), *corners[: value - value % 2]]
    if color in ("yellow", "pink"):
        dots = _DARK
    for dx, dy in spots:
        px, py = x + dx * step, y + dy * step
        sketch.draw(Ellipse(px - radius, py - radius, px + radius, py + radius, dots))
    sketch.add(id="d0", kind="die", dots=value)
    query = {"op": "attribute", "where": {"kind": "die"}, "name": "dots"}
    return Ask("die", "How many dots does the die show?", query, str(value), f"die with {value} dots")


def clock(sketch: Sketch) -> Ask:
    """Reads the full hour on a clock."""
    sketch.background()
    hours = (3, 6, 9, 12) if sketch.difficulty < 0.2 else tuple(range(1, 13))
    hour = sketch.rng.choice(hours)
    x, y, radius = sketch.uniform(0.47, 0.53), sketch.uniform(0.47, 0.53), sketch.uniform(0.4, 0.45)
    rim, color = sketch.rng.choice(sketch.color_names()), sketch.near((250, 248, 240), 5)
    sketch.draw(Ellipse(x - radius, y - radius, x + radius, y + radius, sketch.shade(rim)))
    inner = radius * 0.88
    sketch.draw(Ellipse(x - inner, y - inner, x + inner, y + inner, color))
    for tick in range(12):
        angle, reach = math.tau * tick / 12, 0.82 if tick % 3 else 0.72
        outer, start = inner * 0.94, inner * reach
        line = ((x + start * math.sin(angle), y - start * math.cos(angle)), (x + outer * math.sin(angle), y - outer * math.cos(angle)))
        sketch.draw(Stroke(line, _DARK, 0.025))
    angle = math.tau * hour / 12
    sketch.draw(Stroke(((x, y), (x, y - inner * 0.72)), (90, 90, 100), 0.03))
    sketch.draw(
        Stroke(((x, y), (x + inner * 0.6 * math.sin(angle), y - inner * 0.6 * math.cos(angle))), sketch.near((205, 35, 35), 15), 0.09)
    )
    sketch.add(id="k0", kind="clock", hour=hour)
    query = {"op": "attribute", "where": {"kind": "clock"}, "name": "hour"}
    return Ask("clock", "Which hour does the clock show?", query, str(hour), f"{rim} clock at {hour}")


def traffic_light(sketch: Sketch) -> Ask:
    """Names the colour of the lit light."""
    sketch.background()
    lit = sketch.rng.choice(("red", "yellow", "green"))
    x, half = sketch.uniform(0.3, 0.7), sketch.uniform(0.16, 0.2)
    sketch.draw(Box(x - half, 0.05, x + half, 0.95, sketch.near((50, 50, 52), 12)))
    bright: dict[str, Rgb] = {"red": (250, 40, 40), "yellow": (255, 220, 40), "green": (50, 220, 80)}
    for index, color in enumerate(bright):
        y, radius = 0.2 + 0.3 * index, half * 0.7
        fill = sketch.near(bright[color], 10) if color == lit else sketch.near((85, 85, 88), 10)
        sketch.draw(Ellipse(x - radius, y - radius, x + radius, y + radius, fill))
        sketch.add(id=f"l{index}", kind="light", color=color, is_on="yes" if color == lit else "no")
    query = {"op": "attribute", "where": {"is_on": "yes"}, "name": "color"}
    return Ask("traffic_light", "Which light is on: red, yellow or green?", query, lit, f"traffic light {lit}", ("red", "yellow", "green"))


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (which_object,),
    QuestionType.NUMERIC: (count_objects, die, clock),
    QuestionType.TEXT: (object_color, traffic_light),
}
