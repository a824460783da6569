"""Maps: regions, towns, islands, and what crosses the land."""

import math

from services.generators.rendered.drawing import Box, Ellipse, Mark, Point, Polygon, Rgb, Stroke
from services.generators.rendered.scenes import Ask, Sketch, Template, at
from shared.domain import QuestionType

_SEA: Rgb = (120, 180, 225)
_LANDS: tuple[Rgb, ...] = ((205, 215, 160), (225, 210, 165), (190, 205, 150), (230, 225, 200))
_SIDES = ("north", "south", "west", "east")


def blob(sketch: Sketch, x: float, y: float, radius: float, roughness: float) -> tuple[Point, ...]:
    """An irregular closed outline around a centre."""
    turn = sketch.uniform(0, math.tau)
    corners = []
    for corner in range(12):
        angle, reach = turn + math.tau * corner / 12, radius * sketch.uniform(1 - roughness, 1)
        corners.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return tuple(corners)


def _land(sketch: Sketch) -> None:
    """Sea with one large land on it."""
    sea = sketch.near(_SEA, 20)
    land = sketch.near(sketch.rng.choice(_LANDS), 12)
    sketch.draw(Box(0, 0, 1, 1, sea))
    sketch.speckle(sea)
    sketch.draw(Polygon(blob(sketch, 0.5, 0.5, 0.64, 0.2), land))
    sketch.ink = (30, 30, 30)


def _town(sketch: Sketch, x: float, y: float, radius: float, color: str) -> None:
    sketch.draw(Ellipse(x - radius - 0.02, y - radius - 0.02, x + radius + 0.02, y + radius + 0.02, sketch.ink))
    sketch.draw(Ellipse(x - radius, y - radius, x + radius, y + radius, sketch.shade(color)))
    sketch.add(id=f"t{len(sketch.objects)}", kind="town", color=color, x=at(x), y=at(y))


def _edge(sketch: Sketch, middle: float) -> list[float]:
    """A jagged border: its offset at nine steps."""
    return [middle + sketch.uniform(-0.04, 0.04) for _ in range(9)]


def region(sketch: Sketch) -> Ask:
    """Names the colour of the region in one part of the map."""
    num = 2 if sketch.rng.random() > sketch.difficulty + 0.3 else 4
    colors = sketch.colors(num)
    if num == 2:
        places = sketch.rng.choice((["north", "south"], ["west", "east"]))
        border = _edge(sketch, sketch.uniform(0.4, 0.6))
        line = [(step / 8, offset) for step, offset in enumerate(border)]
        far: list[Point] = [(1.0, 1.0), (0.0, 1.0)]
        if places[0] == "west":
            line, far = [(y, x) for x, y in line], [(y, x) for x, y in far]
        sketch.draw(Box(0, 0, 1, 1, sketch.shade(colors[0])), Polygon((*line, *far), sketch.shade(colors[1])))
    else:
        places = ["north west", "north east", "south west", "south east"]
        across, down = _edge(sketch, sketch.uniform(0.44, 0.56)), _edge(sketch, sketch.uniform(0.44, 0.56))
        row, column = [(step / 8, y) for step, y in enumerate(across)], [(x, step / 8) for step, x in enumerate(down)]
        row[4] = column[4] = (down[4], across[4])
        sketch.draw(Box(0, 0, 1, 1, sketch.shade(colors[0])))
        sketch.draw(Polygon((*column[:5], *row[5:], (1.0, 0.0)), sketch.shade(colors[1])))
        sketch.draw(Polygon((*row[:5], *column[5:], (0.0, 1.0)), sketch.shade(colors[2])))
        sketch.draw(Polygon((*row[4:], (1.0, 1.0), *column[:4:-1]), sketch.shade(colors[3])))
    for index, (place, color) in enumerate(zip(places, colors, strict=True)):
        sketch.add(id=f"r{index}", kind="region", place=place, color=color)
    for _ in range(sketch.level(1, 6)):
        x, y, radius = sketch.uniform(0.1, 0.9), sketch.uniform(0.1, 0.9), sketch.uniform(0.015, 0.03)
        sketch.draw(Ellipse(x - radius, y - radius, x + radius, y + radius, (25, 25, 25)))
    index = sketch.rng.randrange(num)
    query = {"op": "attribute", "where": {"place": places[index]}, "name": "color"}
    description = "map " + ", ".join(f"{color} {place}" for place, color in zip(places, colors, strict=True))
    question = f"What color is the {places[index]} region?"
    return Ask("region", question, query, colors[index], description, sketch.color_names())


def furthest_town(sketch: Sketch) -> Ask:
    """Names the colour of the town that lies furthest to one side."""
    _land(sketch)
    num, side = sketch.rng.randint(2, sketch.level(2, 4)), sketch.rng.choice(_SIDES)
    colors = sketch.colors(num)
    steps = [0.2 + 0.6 * step / max(1, num - 1) for step in range(num)]
    sketch.rng.shuffle(steps)
    parts = []
    for color, step in zip(colors, steps, strict=True):
        along, across = step + sketch.uniform(-0.03, 0.03), sketch.uniform(0.22, 0.78)
        x, y = (across, along) if side in ("north", "south") else (along, across)
        _town(sketch, x, y, sketch.uniform(0.09, 0.11), color)
        parts.append(f"{color} town {'north' if y < 0.5 else 'south'} {'west' if x < 0.5 else 'east'}")
    query = {"op": "argmin" if side in ("north", "west") else "argmax", "by": "y" if side in ("north", "south") else "x", "name": "color"}
    reach = min(steps) if side in ("north", "west") else max(steps)
    question = f"What color is the town furthest {side}?"
    return Ask("furthest_town", question, query, colors[steps.index(reach)], ", ".join(parts), sketch.color_names())


def count_islands(sketch: Sketch) -> Ask:
    """Counts islands in a sea."""
    sea = sketch.near(_SEA, 25)
    sketch.draw(Box(0, 0, 1, 1, sea))
    sketch.speckle(sea)
    num, land = sketch.rng.randint(1, sketch.level(4, 8)), sketch.rng.choice(((60, 130, 60), (190, 160, 95), (130, 95, 60)))
    for index, place in enumerate(sketch.places(num, is_crowded=sketch.rng.random() < 0.5)):
        radius = place.room * sketch.uniform(0.85, 1.05)
        sketch.draw(Polygon(blob(sketch, place.x, place.y, radius, 0.3), sketch.near(land, 14)))
        sketch.add(id=f"i{index}", kind="island", x=at(place.x), y=at(place.y), size=at(radius))
    query = {"op": "count", "where": {"kind": "island"}}
    return Ask("count_islands", "How many islands are there?", query, str(num), f"sea with {num} islands")


def count_towns(sketch: Sketch) -> Ask:
    """Counts the towns of one colour on a land with towns of two colours."""
    _land(sketch)
    num, num_others = sketch.rng.randint(0, sketch.level(3, 5)), sketch.rng.randint(1, sketch.level(1, 4))
    wanted, other = sketch.colors(2)
    colors = [wanted] * num + [other] * num_others
    sketch.rng.shuffle(colors)
    parts = []
    for place, color in zip(sketch.places(len(colors), is_crowded=sketch.rng.random() < 0.3), colors, strict=True):
        _town(sketch, place.x, place.y, min(0.13, place.room * 0.75), color)
        parts.append(f"{color} {place.words}")
    query = {"op": "count", "where": {"kind": "town", "color": wanted}}
    return Ask("count_towns", f"How many {wanted} towns are there?", query, str(num), f"towns: {', '.join(parts)}")


def town_side(sketch: Sketch) -> Ask:
    """Says on which side of the map the town of a given colour lies."""
    _land(sketch)
    num = sketch.rng.randint(1, sketch.level(2, 4))
    sides, colors = sketch.rng.sample(_SIDES, num), sketch.colors(num)
    for side, color in zip(sides, colors, strict=True):
        along, off = sketch.uniform(0.18, 0.24), sketch.uniform(0.42, 0.58)
        depth = along if side in ("north", "west") else 1 - along
        x, y = (off, depth) if side in ("north", "south") else (depth, off)
        _town(sketch, x, y, sketch.uniform(0.09, 0.115), color)
        sketch.objects[-1]["side"] = side
    index = sketch.rng.randrange(num)
    query = {"op": "attribute", "where": {"color": colors[index]}, "name": "side"}
    description = ", ".join(f"{color} town {side}" for side, color in zip(sides, colors, strict=True))
    question = f"On which side of the map is the {colors[index]} town?"
    return Ask("town_side", question, query, sides[index], description, _SIDES)


def crossing(sketch: Sketch) -> Ask:
    """Names what crosses the land: a river, a road or a railway."""
    _land(sketch)
    kind = sketch.rng.choice(("river", "road", "railway"))
    is_flat, start, end = sketch.rng.random() < 0.5, sketch.uniform(0.25, 0.75), sketch.uniform(0.25, 0.75)
    wave = sketch.uniform(0.06, 0.12) if kind == "river" else sketch.uniform(0, 0.03)
    phase = sketch.uniform(0, math.tau)
    points: list[Point] = []
    for step in range(17):
        share = step / 16
        points.append((share, start + (end - start) * share + wave * math.sin(phase + share * 9)))
    marks: list[Mark] = []
    if kind == "river":
        marks.append(Stroke(tuple(points), sketch.near((40, 100, 215), 18), sketch.uniform(0.09, 0.13)))
    elif kind == "road":
        marks.append(Stroke(tuple(points), sketch.near((110, 110, 115), 12), sketch.uniform(0.13, 0.17)))
        marks.extend(Stroke((a, b), (250, 250, 250), 0.03) for a, b in zip(points[::2], points[1::2], strict=False))
    else:
        marks.append(Stroke(tuple(points), (25, 25, 25), 0.04))
        marks.extend(Stroke(((x, y - 0.08), (x, y + 0.08)), (25, 25, 25), 0.03) for x, y in points)
    if not is_flat:
        marks = [Stroke(tuple((y, x) for x, y in mark.points), mark.fill, mark.width) for mark in marks if isinstance(mark, Stroke)]
    sketch.draw(*marks)
    sketch.add(id="c0", kind="crossing", feature=kind)
    query = {"op": "attribute", "where": {"kind": "crossing"}, "name": "feature"}
    question = "What crosses the land: a river, a road or a railway?"
    return Ask("crossing", question, query, kind, f"map with a {kind}", ("river", "road", "railway"))


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (region, furthest_town),
    QuestionType.NUMERIC: (count_islands, count_towns),
    QuestionType.TEXT: (town_side, crossing),
}
