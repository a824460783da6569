"""Charts: bars of unit blocks, pies and lines."""

from services.generators.rendered.drawing import Box, Ellipse, Slice, Stroke
from services.generators.rendered.scenes import Ask, Sketch, Template
from shared.domain import QuestionType


def _bars(sketch: Sketch, values: list[int], colors: list[str], top: int) -> str:
    """Draws bars of unit blocks on a base line; returns the description."""
    left, right, floor, ceiling = 0.1, sketch.uniform(0.92, 0.97), sketch.uniform(0.88, 0.94), sketch.uniform(0.05, 0.1)
    unit, pitch = (floor - ceiling) / top, (right - left) / len(values)
    width, gap = pitch * sketch.uniform(0.62, 0.85), min(0.02, (floor - ceiling) / top * 0.2)
    for index, (value, color) in enumerate(zip(values, colors, strict=True)):
        x, fill = left + pitch * (index + 0.5) - width / 2, sketch.shade(color)
        for block in range(value):
            y = floor - unit * (block + 1)
            sketch.draw(Box(x, y + gap, x + width, y + unit, fill))
        sketch.add(id=f"b{index}", kind="bar", color=color, value=value, position=index)
    sketch.draw(Box(0.05, ceiling, 0.07, floor + 0.03, sketch.ink), Box(0.05, floor, 0.98, floor + 0.03, sketch.ink))
    return "bars " + ", ".join(f"{color} {value}" for value, color in zip(values, colors, strict=True))


def extreme_bar(sketch: Sketch) -> Ask:
    """Names the colour of the tallest or the shortest bar."""
    sketch.background()
    num, top = sketch.rng.randint(2, sketch.level(3, 5)), sketch.level(6, 9)
    values, colors = sketch.rng.sample(range(1, top + 1), num), sketch.colors(num)
    is_tallest = sketch.rng.random() < 0.6
    value = max(values) if is_tallest else min(values)
    query = {"op": "argmax" if is_tallest else "argmin", "by": "value", "name": "color"}
    question = f"What color is the {'tallest' if is_tallest else 'shortest'} bar?"
    description = _bars(sketch, values, colors, top)
    return Ask("extreme_bar", question, query, colors[values.index(value)], description, colors if num > 2 else sketch.color_names())


def bar_blocks(sketch: Sketch) -> Ask:
    """Reads the height of the bar of a given colour."""
    sketch.background()
    num, top = sketch.rng.randint(1, sketch.level(3, 5)), sketch.level(5, 9)
    values, colors = [sketch.rng.randint(1, top) for _ in range(num)], sketch.colors(num)
    index = sketch.rng.randrange(num)
    query = {"op": "attribute", "where": {"color": colors[index]}, "name": "value"}
    question = f"How many blocks tall is the {colors[index]} bar?"
    return Ask("bar_blocks", question, query, str(values[index]), _bars(sketch, values, colors, top))


def highest_value(sketch: Sketch) -> Ask:
    """Reads the height of the tallest bar."""
    sketch.background()
    num, top = sketch.rng.randint(2, sketch.level(3, 5)), sketch.level(5, 9)
    highest = sketch.rng.randint(1, top)
    values = [sketch.rng.randint(1, highest) for _ in range(num)]
    values[sketch.rng.randrange(num)] = highest
    query = {"op": "maximum", "of": "value"}
    question = "How many blocks tall is the tallest bar?"
    return Ask("highest_value", question, query, str(highest), _bars(sketch, values, sketch.colors(num), top))


def count_bars(sketch: Sketch) -> Ask:
    """Counts the bars."""
    sketch.background()
    num, top = sketch.rng.randint(1, sketch.level(5, 8)), sketch.level(5, 9)
    values, color = [sketch.rng.randint(1, top) for _ in range(num)], sketch.rng.choice(sketch.color_names())
    _bars(sketch, values, [color] * num, top)
    description = f"{num} {color} bars {' '.join(map(str, values))}"
    return Ask("count_bars", "How many bars are there?", {"op": "count", "where": {"kind": "bar"}}, str(num), description)


def largest_slice(sketch: Sketch) -> Ask:
    """Names the colour of the largest slice of a pie."""
    sketch.background()
    num = sketch.rng.randint(2, sketch.level(3, 5))
    colors = sketch.colors(num)
    extreme = sketch.rng.randrange(num)
    weights = [sketch.uniform(0.5, 1.0) for _ in range(num)]
    weights[extreme] = sketch.uniform(1.7, 2.6)
    degrees = [round(360 * weight / sum(weights)) for weight in weights]
    degrees[extreme] += 360 - sum(degrees)
    x, y, radius, start = sketch.uniform(0.46, 0.54), sketch.uniform(0.46, 0.54), sketch.uniform(0.36, 0.45), sketch.rng.randrange(360)
    for index, (share, color) in enumerate(zip(degrees, colors, strict=True)):
        sketch.draw(Slice(x, y, radius, start, start + share, sketch.shade(color)))
        sketch.add(id=f"p{index}", kind="slice", color=color, degrees=share)
        start += share
    query = {"op": "argmax", "by": "degrees", "name": "color"}
    others = " ".join(color for color in colors if color != colors[extreme])
    return Ask(
        "largest_slice", "What color is the largest slice?", query, colors[extreme], f"pie mostly {colors[extreme]}, also {others}", colors
    )


def trend(sketch: Sketch) -> Ask:
    """Says whether a line goes up, down or stays flat."""
    sketch.background()
    answer = sketch.rng.choice(("up", "down", "flat"))
    num, color = sketch.rng.randint(3, sketch.level(4, 7)), sketch.rng.choice(sketch.color_names())
    rise = 0 if answer == "flat" else sketch.rng.randint(4, 7) * (1 if answer == "up" else -1)
    first = sketch.rng.randint(max(1, 1 - rise), min(9, 9 - rise))
    wobble = sketch.uniform(0, 0.03 + 0.07 * sketch.difficulty)
    heights = [first + rise * step / (num - 1) for step in range(num)]
    points = []
    for step, height in enumerate(heights):
        shift = 0.0 if step in (0, num - 1) else sketch.uniform(-wobble, wobble)
        points.append((0.12 + 0.82 * step / (num - 1), 0.95 - 0.09 * height + shift))
    fill = sketch.shade(color)
    sketch.draw(Box(0.05, 0.04, 0.07, 0.96, sketch.ink), Box(0.05, 0.94, 0.98, 0.97, sketch.ink))
    sketch.draw(Stroke(tuple(points), fill, sketch.uniform(0.05, 0.08)))
    if sketch.rng.random() < 0.5:
        sketch.draw(*(Ellipse(x - 0.05, y - 0.05, x + 0.05, y + 0.05, fill) for x, y in points))
    sketch.add(id="start", kind="point", end="start", value=first)
    sketch.add(id="end", kind="point", end="end", value=first + rise)
    query = {
        "op": "compare",
        "left": {"end": "start"},
        "right": {"end": "end"},
        "by": "value",
        "names": {"left": "down", "right": "up", "equal": "flat"},
    }
    question = "Does the line go up, down or stay flat?"
    return Ask("trend", question, query, answer, f"{color} line going {answer}", ("up", "down", "flat"))


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (extreme_bar,),
    QuestionType.NUMERIC: (bar_blocks, highest_value, count_bars),
    QuestionType.TEXT: (largest_slice, trend),
}
