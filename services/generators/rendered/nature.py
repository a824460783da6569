"""Natural scenes: skies, trees, weather and seasons."""

import math

from services.generators.rendered.drawing import Arc, Box, Ellipse, Polygon, Rgb, Stroke
from services.generators.rendered.scenes import Ask, Sketch, Template, at
from shared.domain import QuestionType

_SKY_DAY: Rgb = (135, 195, 245)
_SKY_NIGHT: Rgb = (20, 25, 60)
_SKY_GRAY: Rgb = (150, 155, 165)
_GRASS: Rgb = (95, 165, 75)
_SKY_THINGS = ("sun", "moon", "cloud", "rainbow", "bird")
_GROUND_THINGS = ("tree", "house", "mountain", "flower", "lake")
_CROWNS: dict[str, Rgb] = {"summer": (40, 140, 50), "autumn": (220, 115, 30), "spring": (245, 165, 200), "winter": (240, 245, 250)}
_GROUNDS: dict[str, Rgb] = {"summer": (95, 175, 70), "autumn": (175, 135, 70), "spring": (130, 205, 90), "winter": (225, 232, 240)}


def _landscape(sketch: Sketch, sky: Rgb, ground: Rgb, horizon: float) -> None:
    """Sky over ground."""
    top = sketch.near(sky, 18)
    sketch.grade(top, sketch.near(top, 25), is_vertical=True, bottom=horizon)
    color = sketch.near(ground, 18)
    sketch.draw(Box(0, horizon, 1, 1, color))
    for _ in range(sketch.rng.randint(2, sketch.level(8, 30))):
        x, y = sketch.rng.random(), sketch.uniform(horizon, 1)
        sketch.draw(Box(x, y, x + 1 / 64, y + 1 / 64, sketch.near(color, 30)))


def _cloud(sketch: Sketch, x: float, y: float, radius: float, color: Rgb = (250, 250, 252)) -> None:
    for dx, dy, size in ((-0.6, 0.1, 0.5), (0.0, -0.15, 0.65), (0.6, 0.1, 0.5)):
        reach = radius * size
        sketch.draw(
            Ellipse(x + dx * radius - reach, y + dy * radius - reach * 0.9, x + dx * radius + reach, y + dy * radius + reach * 0.9, color)
        )


def _sun(sketch: Sketch, x: float, y: float, radius: float) -> None:
    color = sketch.near((250, 215, 50), 12)
    for ray in range(8):
        angle = math.tau * ray / 8
        tip, root = (x + radius * math.cos(angle), y + radius * math.sin(angle)), (x, y)
        sketch.draw(Stroke((root, tip), color, 0.03))
    sketch.draw(Ellipse(x - radius * 0.7, y - radius * 0.7, x + radius * 0.7, y + radius * 0.7, color))


def _moon(sketch: Sketch, x: float, y: float, radius: float) -> None:
    outer = [math.radians(degrees) for degrees in range(50, 311, 20)]
    rim = [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in outer]
    hollow = [(x + radius * (0.45 + 0.55 * math.cos(angle)), y + radius * 0.82 * math.sin(angle)) for angle in reversed(outer[1:-1])]
    sketch.draw(Polygon((*rim, *hollow), sketch.near((245, 240, 205), 10)))


def _tree(sketch: Sketch, x: float, foot: float, height: float, crown: Rgb, is_pointed: bool) -> None:
    half = height * 0.09
    sketch.draw(Box(x - half, foot - height * 0.45, x + half, foot, sketch.near((105, 70, 40), 12)))
    wide, fill = height * 0.36, sketch.near(crown, 14)
    if is_pointed:
        sketch.draw(Polygon(((x, foot - height), (x + wide, foot - height * 0.3), (x - wide, foot - height * 0.3)), fill))
    else:
        sketch.draw(Ellipse(x - wide, foot - height, x + wide, foot - height * 0.3, fill))


def _put_in_sky(sketch: Sketch, thing: str, x: float) -> None:
    y, radius = sketch.uniform(0.23, 0.28), sketch.uniform(0.17, 0.22)
    if thing == "sun":
        _sun(sketch, x, y, radius)
    elif thing == "moon":
        _moon(sketch, x, y, radius)
    elif thing == "cloud":
        _cloud(sketch, x, y, radius * 1.3)
    elif thing == "rainbow":
        for step, color in enumerate(("red", "yellow", "green", "blue")):
            sketch.draw(Arc(x, 0.55, 0.46 - 0.065 * step, 180, 360, sketch.shade(color), 0.065))
    else:
        wing = radius * 1.3
        bird = (
            (x - wing, y - wing * 0.35),
            (x - wing * 0.4, y - wing * 0.45),
            (x, y),
            (x + wing * 0.4, y - wing * 0.45),
            (x + wing, y - wing * 0.35),
        )
        sketch.draw(Stroke(bird, (30, 30, 35), 0.06))


def _put_on_ground(sketch: Sketch, thing: str, x: float, horizon: float) -> None:
    foot = sketch.uniform(0.86, 0.95)
    if thing == "tree":
        _tree(sketch, x, foot, sketch.uniform(0.55, 0.64), _CROWNS["summer"], sketch.rng.random() < 0.5)
    elif thing == "house":
        half, wall = sketch.uniform(0.2, 0.26), sketch.near(sketch.rng.choice(((235, 220, 190), (200, 120, 100), (245, 245, 245))), 10)
        sketch.draw(Box(x - half, foot - 0.32, x + half, foot, wall))
        sketch.draw(
            Polygon(((x - half - 0.05, foot - 0.32), (x, foot - 0.56), (x + half + 0.05, foot - 0.32)), sketch.near((165, 50, 40), 20))
        )
        sketch.draw(Box(x - 0.05, foot - 0.18, x + 0.05, foot, (80, 50, 30)))
    elif thing == "mountain":
        half, peak = sketch.uniform(0.28, 0.36), sketch.uniform(0.2, 0.3)
        foot = horizon + 0.02
        sketch.draw(Polygon(((x - half, foot), (x, peak), (x + half, foot)), sketch.near((115, 110, 115), 15)))
        cap = 0.35
        sketch.draw(
            Polygon(
                ((x - half * cap, peak + (foot - peak) * cap), (x, peak), (x + half * cap, peak + (foot - peak) * cap)), (250, 250, 252)
            )
        )
    elif thing == "flower":
        y, radius, color = sketch.uniform(0.5, 0.56), sketch.uniform(0.14, 0.17), sketch.shade(sketch.rng.choice(("red", "pink", "purple")))
        sketch.draw(Stroke(((x, y), (x, foot)), (40, 120, 40), 0.05))
        for petal in range(6):
            angle = math.tau * petal / 6
            px, py, size = x + radius * math.cos(angle), y + radius * math.sin(angle), radius * 0.55
            sketch.draw(Ellipse(px - size, py - size, px + size, py + size, color))
        sketch.draw(Ellipse(x - radius * 0.6, y - radius * 0.6, x + radius * 0.6, y + radius * 0.6, (250, 210, 50)))
    else:
        half, deep = sketch.uniform(0.34, 0.42), sketch.uniform(0.12, 0.16)
        x, y = 0.5, (horizon + 1) / 2
        sketch.draw(Ellipse(x - half, y - deep, x + half, y + deep, sketch.near((40, 105, 200), 15)))


def _sky_and_ground(sketch: Sketch) -> tuple[str, str]:
    """Draws one thing in the sky and one on the ground; returns both."""
    above = sketch.rng.choice(_SKY_THINGS[: sketch.level(4, 5)])
    below = sketch.rng.choice(_GROUND_THINGS[: sketch.level(4, 5)])
    sky = _SKY_NIGHT if above == "moon" else _SKY_DAY
    horizon = sketch.uniform(0.6, 0.7)
    _landscape(sketch, sky, _GRASS, horizon)
    # Side by side, so that neither hides the other; only a rainbow stands behind.
    left, right = sketch.uniform(0.24, 0.3), sketch.uniform(0.68, 0.74)
    if sketch.rng.random() < 0.5:
        left, right = right, left
    _put_in_sky(sketch, above, left)
    _put_on_ground(sketch, below, right, horizon)
    sketch.add(id="above", place="sky", kind=above)
    sketch.add(id="below", place="ground", kind=below)
    return above, below


def in_the_sky(sketch: Sketch) -> Ask:
    """Names what is in the sky."""
    above, below = _sky_and_ground(sketch)
    query = {"op": "attribute", "where": {"place": "sky"}, "name": "kind"}
    return Ask("in_the_sky", "What is in the sky?", query, above, f"{above} in the sky, {below} on the ground", _SKY_THINGS)


def on_the_ground(sketch: Sketch) -> Ask:
    """Names what stands on the ground."""
    above, below = _sky_and_ground(sketch)
    query = {"op": "attribute", "where": {"place": "ground"}, "name": "kind"}
    return Ask("on_the_ground", "What is on the ground?", query, below, f"{above} in the sky, {below} on the ground", _GROUND_THINGS)


def count_trees(sketch: Sketch) -> Ask:
    """Counts trees."""
    num, season = sketch.rng.randint(1, sketch.level(4, 7)), sketch.rng.choice(("summer", "autumn"))
    horizon, is_pointed = sketch.uniform(0.45, 0.6), sketch.rng.random() < 0.5
    _landscape(sketch, _SKY_DAY, _GROUNDS["summer"], horizon)
    pitch = 0.96 / max(num, 2)
    slots = sorted(sketch.rng.sample(range(max(num, 2)), num))
    for index, slot in enumerate(slots):
        x, foot = 0.02 + pitch * (slot + 0.5), sketch.uniform(0.78, 0.94)
        height = min(0.7, pitch * 1.3) * sketch.uniform(0.9, 1.0)
        _tree(sketch, x, foot, height, _CROWNS[season], is_pointed)
        sketch.add(id=f"t{index}", kind="tree", x=at(x), y=at(foot))
    query = {"op": "count", "where": {"kind": "tree"}}
    return Ask("count_trees", "How many trees are there?", query, str(num), f"{num} {season} trees")


def count_clouds(sketch: Sketch) -> Ask:
    """Counts clouds."""
    num = sketch.rng.randint(0, sketch.level(3, 6))
    _landscape(sketch, _SKY_DAY, _GRASS, sketch.uniform(0.82, 0.9))
    spots = sketch.rng.sample(range(6), num) if num > 4 or sketch.rng.random() < 0.5 else None
    for index in range(num):
        if spots:
            x, y, radius = 0.18 + 0.32 * (spots[index] % 3), 0.2 + 0.38 * (spots[index] // 3), sketch.uniform(0.12, 0.14)
        else:
            x, y, radius = 0.27 + 0.46 * (index % 2), 0.2 + 0.38 * (index // 2), sketch.uniform(0.15, 0.2)
        x, y = x + sketch.uniform(-0.02, 0.02), y + sketch.uniform(-0.03, 0.03)
        _cloud(sketch, x, y, radius)
        sketch.add(id=f"c{index}", kind="cloud", x=at(x), y=at(y))
    query = {"op": "count", "where": {"kind": "cloud"}}
    return Ask("count_clouds", "How many clouds are there?", query, str(num), f"sky with {num} clouds")


def season(sketch: Sketch) -> Ask:
    """Names the season of a tree and its ground."""
    name = sketch.rng.choice(tuple(_CROWNS))
    _landscape(sketch, _SKY_GRAY if name == "winter" else _SKY_DAY, _GROUNDS[name], sketch.uniform(0.55, 0.7))
    _tree(sketch, sketch.uniform(0.35, 0.65), sketch.uniform(0.82, 0.94), sketch.uniform(0.65, 0.8), _CROWNS[name], False)
    sketch.add(id="t0", kind="tree", season=name)
    query = {"op": "attribute", "where": {"kind": "tree"}, "name": "season"}
    return Ask("season", "Which season is it?", query, name, f"{name} tree", tuple(_CROWNS))


def weather(sketch: Sketch) -> Ask:
    """Names the weather."""
    name = sketch.rng.choice(("sunny", "cloudy", "rainy", "snowy"))
    is_bright = name in ("sunny", "cloudy")
    _landscape(sketch, _SKY_DAY if is_bright else _SKY_GRAY, (230, 235, 242) if name == "snowy" else _GRASS, sketch.uniform(0.7, 0.82))
    x, y = sketch.uniform(0.35, 0.65), sketch.uniform(0.26, 0.34)
    if name == "sunny":
        _sun(sketch, x, y, sketch.uniform(0.2, 0.27))
    else:
        if name != "cloudy":
            for _ in range(sketch.level(14, 24)):
                px, py = sketch.uniform(0.05, 0.95), sketch.uniform(0.3, 0.85)
                if name == "rainy":
                    sketch.draw(Stroke(((px, py), (px - 0.03, py + 0.1)), (40, 90, 200), 0.025))
                else:
                    sketch.draw(Ellipse(px, py, px + 0.05, py + 0.05, (255, 255, 255)))
        _cloud(sketch, x, y, sketch.uniform(0.26, 0.34), (250, 250, 252) if name == "cloudy" else sketch.near((95, 98, 108), 10))
    sketch.add(id="w0", kind="weather", name=name)
    query = {"op": "attribute", "where": {"kind": "weather"}, "name": "name"}
    question = "Is it sunny, cloudy, rainy or snowy?"
    return Ask("weather", question, query, name, f"{name} weather", ("sunny", "cloudy", "rainy", "snowy"))


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (in_the_sky, on_the_ground),
    QuestionType.NUMERIC: (count_trees, count_clouds),
    QuestionType.TEXT: (season, weather),
}
