"""Diagrams: boxes joined by arrows, and trees."""

import math
from itertools import pairwise

from services.generators.rendered.drawing import Box, Ellipse, Mark, Point, Polygon, Rgb, Stroke
from services.generators.rendered.scenes import Ask, Sketch, Template, at
from shared.domain import QuestionType

_CORNERS: tuple[Point, ...] = ((0.23, 0.23), (0.77, 0.23), (0.77, 0.77), (0.23, 0.77))
_WORDS = ("top left", "top right", "bottom right", "bottom left")


def arrow(start: Point, end: Point, fill: Rgb, width: float, head: float) -> list[Mark]:
    """An arrow from one point to another."""
    length = math.dist(start, end)
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    neck = (end[0] - dx * head, end[1] - dy * head)
    wing = head * 0.75
    tips = (end, (neck[0] - dy * wing, neck[1] + dx * wing), (neck[0] + dy * wing, neck[1] - dx * wing))
    return [Stroke((start, neck), fill, width), Polygon(tips, fill)]


def _box(sketch: Sketch, x: float, y: float, radius: float, color: str) -> None:
    fill = sketch.shade(color)
    is_round = sketch.rng.random() < 0.3
    sketch.draw(
        Ellipse(x - radius, y - radius, x + radius, y + radius, fill)
        if is_round
        else Box(x - radius, y - radius, x + radius, y + radius, fill)
    )


def _chain(sketch: Sketch, num: int) -> tuple[list[str], str]:
    """Draws boxes around a square, joined in order by arrows; returns the colours in order and the description."""
    sketch.background()
    colors, start, turn = sketch.colors(num), sketch.rng.randrange(4), sketch.rng.choice((1, -1))
    spots = [(start + turn * index) % 4 for index in range(num)]
    centres = [(_CORNERS[spot][0] + sketch.uniform(-0.03, 0.03), _CORNERS[spot][1] + sketch.uniform(-0.03, 0.03)) for spot in spots]
    radius = sketch.uniform(0.14, 0.17)
    for index, (centre, color) in enumerate(zip(centres, colors, strict=True)):
        _box(sketch, centre[0], centre[1], radius, color)
        following = f"n{index + 1}" if index + 1 < num else ""
        sketch.add(id=f"n{index}", kind="box", color=color, x=at(centre[0]), y=at(centre[1]), next=following, order=index)
    for first, second in pairwise(centres):
        length = math.dist(first, second)
        ux, uy = (second[0] - first[0]) / length, (second[1] - first[1]) / length
        inset = radius * 1.05
        sketch.draw(
            *arrow(
                (first[0] + ux * inset, first[1] + uy * inset), (second[0] - ux * inset, second[1] - uy * inset), sketch.ink, 0.045, 0.12
            )
        )
    return colors, "arrows " + " to ".join(f"{color} {_WORDS[spot]}" for color, spot in zip(colors, spots, strict=True))


def after(sketch: Sketch) -> Ask:
    """Names the colour of the box that comes one step (or, when hard, two) after a given one."""
    num = sketch.rng.randint(2, 3) if sketch.rng.random() > sketch.difficulty else 4
    colors, description = _chain(sketch, num)
    num_steps = 2 if num > 2 and sketch.rng.random() < sketch.difficulty - 0.4 else 1
    index = sketch.rng.randrange(num - num_steps)
    words = "comes" if num_steps == 1 else "comes two steps"
    query = {"op": "follow", "start": f"n{index}", "steps": num_steps, "edge": "next", "name": "color"}
    question = f"What color {words} after {colors[index]}?"
    return Ask("after", question, query, colors[index + num_steps], description, sketch.color_names())


def first_or_last(sketch: Sketch) -> Ask:
    """Names the colour of the box where the arrows start or end."""
    num = sketch.rng.randint(2, 3) if sketch.rng.random() > sketch.difficulty else 4
    colors, description = _chain(sketch, num)
    is_first = sketch.rng.random() < 0.5
    query = {"op": "argmin" if is_first else "argmax", "by": "order", "name": "color"}
    question = f"At which color do the arrows {'start' if is_first else 'end'}?"
    return Ask("first_or_last", question, query, colors[0 if is_first else -1], description, sketch.color_names())


def _tree(sketch: Sketch, num_leaves: int) -> tuple[str, list[str], str]:
    """Draws a box with boxes under it; returns the root's colour, the leaves' colours and the description."""
    sketch.background()
    root, *others = sketch.colors(3)
    leaves = [sketch.rng.choice(others) for _ in range(num_leaves)]
    x, y, below = sketch.uniform(0.42, 0.58), sketch.uniform(0.18, 0.24), sketch.uniform(0.74, 0.8)
    pitch = 0.92 / num_leaves
    radius = min(0.15, pitch * 0.4)
    columns = [0.04 + pitch * (index + 0.5) for index in range(num_leaves)]
    for column in columns:
        sketch.draw(Stroke(((x, y), (column, below)), sketch.ink, 0.035))
    _box(sketch, x, y, 0.16, root)
    sketch.add(id="root", kind="box", color=root, level=0, x=at(x), y=at(y))
    for index, (column, color) in enumerate(zip(columns, leaves, strict=True)):
        _box(sketch, column, below, radius, color)
        sketch.add(id=f"leaf{index}", kind="box", color=color, level=1, x=at(column), y=at(below))
    return root, leaves, f"tree {root} over {num_leaves} boxes {' '.join(leaves)}"


def count_children(sketch: Sketch) -> Ask:
    """Counts the boxes under the top box."""
    num = sketch.rng.randint(1, sketch.level(4, 6))
    _, _, description = _tree(sketch, num)
    query = {"op": "count", "where": {"level": 1}}
    return Ask("count_children", "How many boxes are under the top box?", query, str(num), description)


def count_boxes(sketch: Sketch) -> Ask:
    """Counts the boxes of one colour in a tree."""
    num = sketch.rng.randint(2, sketch.level(4, 6))
    _, leaves, description = _tree(sketch, num)
    color = sketch.rng.choice(leaves)
    query = {"op": "count", "where": {"color": color}}
    return Ask("count_boxes", f"How many {color} boxes are there?", query, str(leaves.count(color)), description)


def count_arrows(sketch: Sketch) -> Ask:
    """Counts arrows that lie side by side."""
    sketch.background()
    num = sketch.rng.randint(1, sketch.level(4, 7))
    color, is_flat = sketch.rng.choice(sketch.color_names()), sketch.rng.random() < 0.5
    pitch, head = 0.94 / num, min(0.16, 0.6 / num)
    for index in range(num):
        lane = 0.03 + pitch * (index + 0.5)
        low, high = sketch.uniform(0.08, 0.2), sketch.uniform(0.8, 0.92)
        ends = ((low, lane), (high, lane)) if is_flat else ((lane, low), (lane, high))
        is_back = sketch.rng.random() < 0.5
        sketch.draw(*arrow(ends[is_back], ends[not is_back], sketch.shade(color), min(0.07, 0.3 / num), head))
        sketch.add(id=f"a{index}", kind="arrow", color=color)
    query = {"op": "count", "where": {"kind": "arrow"}}
    return Ask("count_arrows", "How many arrows are there?", query, str(num), f"{num} {color} arrows")


def top_box(sketch: Sketch) -> Ask:
    """Names the colour of the box at the top of a tree."""
    root, _, description = _tree(sketch, sketch.rng.randint(2, sketch.level(3, 5)))
    return Ask(
        "top_box", "What color is the top box?", {"op": "argmin", "by": "y", "name": "color"}, root, description, sketch.color_names()
    )


TEMPLATES: dict[QuestionType, tuple[Template, ...]] = {
    QuestionType.MULTIPLE_CHOICE: (after, top_box),
    QuestionType.NUMERIC: (count_children, count_arrows, count_boxes),
    QuestionType.TEXT: (after, first_or_last),
}
