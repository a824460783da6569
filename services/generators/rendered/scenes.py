"""What a scene is, and the sketch on which templates draw one.

A template places objects and marks on a sketch and returns what it asks. The scene's own objects and typed query imply the answer, so
that another room can derive it again without this room's code.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from services.generators.rendered.drawing import Box, Mark, Rgb
from shared.domain import Cell, QuestionType
from shared.prompt import LETTERS

SCHEMA = "spiral.scene/1"

Value = str | int | float
Query = Mapping[str, object]

PALETTE: dict[str, Rgb] = {
    "red": (215, 40, 40),
    "blue": (45, 90, 220),
    "green": (40, 160, 60),
    "yellow": (240, 205, 30),
    "purple": (150, 55, 185),
    "orange": (240, 125, 25),
    "pink": (245, 150, 190),
    "brown": (125, 75, 40),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a template asks about its sketch. `options` are the values that a multiple-choice question may offer."""

    template: str
    question: str
    query: Query
    value: str
    description: str
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawable scene with one question. `description` lists in words what is to be seen."""

    cell: Cell
    template: str
    objects: tuple[Mapping[str, Value], ...]
    query: Query
    question: str
    choices: tuple[str, ...]
    answer: str
    description: str
    marks: tuple[Mark, ...]

    def to_json(self) -> str:
        """The objects and the query that the answer follows from, as `spiral.scene/1`."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "category": self.cell.category.value,
                "template": self.template,
                "objects": list(self.objects),
                "query": self.query,
            },
            separators=(",", ":"),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object may stand: centre, the radius that it may fill, and the place in words."""

    x: float
    y: float
    room: float
    words: str


@dataclass(slots=True)
class Sketch:
    """A scene in the making. `difficulty` in [0, 1]; `ink` contrasts with the background."""

    rng: Random
    difficulty: float
    marks: list[Mark] = field(default_factory=list)
    objects: list[dict[str, Value]] = field(default_factory=list)
    ink: Rgb = (20, 20, 20)

    def add(self, **attributes: Value) -> None:
        """Notes an object with its attributes."""
        self.objects.append(attributes)

    def draw(self, *marks: Mark) -> None:
        """Paints marks over what stands."""
        self.marks.extend(marks)

    def level(self, easy: int, hard: int) -> int:
        """A whole number between its value at difficulty 0 and at difficulty 1."""
        return easy + round((hard - easy) * self.difficulty)

    def uniform(self, low: float, high: float) -> float:
        """A random number between two bounds."""
        return self.rng.uniform(low, high)

    def color_names(self) -> list[str]:
        """The colours in use at this difficulty."""
        return list(PALETTE)[: self.level(4, 8)]

    def colors(self, num: int) -> list[str]:
        """Distinct random colour names."""
        return self.rng.sample(self.color_names(), num)

    def shade(self, name: str) -> Rgb:
        """A random shade of a named colour."""
        return self.near(PALETTE[name], 14)

    def near(self, color: Rgb, spread: int) -> Rgb:
        """A random colour close to another."""
        red, green, blue = (min(255, max(0, channel + self.rng.randint(-spread, spread))) for channel in color)
        return red, green, blue

    def background(self, *, dark_share: float = 0.35) -> None:
        """Fills the image with a plain, graded or banded ground, speckled as the difficulty rises, and sets the ink."""
        rng = self.rng
        is_dark = rng.random() < dark_share
        low, high = (8, 55) if is_dark else (205, 252)
        first = (rng.randint(low, high), rng.randint(low, high), rng.randint(low, high))
        self.ink = self.near((235, 235, 235) if is_dark else (25, 25, 25), 15)
        self.draw(Box(0, 0, 1, 1, first))
        style = rng.random()
        if style < 0.35:
            second = (rng.randint(low, high), rng.randint(low, high), rng.randint(low, high))
            self.grade(first, second, is_vertical=rng.random() < 0.5)
        elif style < 0.5:
            second = self.near(first, 12)
            width = self.uniform(0.04, 0.15)
            start = self.uniform(0, width)
            is_vertical = rng.random() < 0.5
            while start < 1:
                end = min(1.0, start + width)
                self.draw(Box(0, start, 1, end, second) if is_vertical else Box(start, 0, end, 1, second))
                start += 2 * width
        self.speckle(first)

    def grade(self, first: Rgb, second: Rgb, *, is_vertical: bool, top: float = 0.0, bottom: float = 1.0) -> None:
        """Paints a run of colours from one to another."""
        for step in range(8):
            share = step / 7
            red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
            low, high = top + (bottom - top) * step / 8, top + (bottom - top) * (step + 1) / 8
            color = (red, green, blue)
            self.draw(Box(0, low, 1, high, color) if is_vertical else Box(low, top, high, bottom, color))

    def speckle(self, color: Rgb) -> None:
        """Scatters faint dots, more of them as the difficulty rises."""
        for _ in range(self.rng.randint(0, self.level(6, 40))):
            x, y = self.rng.random(), self.rng.random()
            self.draw(Box(x, y, x + 1 / 64, y + 1 / 64, self.near(color, 45)))

    def places(self, num: int, *, is_crowded: bool = False) -> list[Place]:
        """Places for objects that don't touch, in reading order: one large, up to four by quarter, up to nine on a grid."""
        rng = self.rng
        if num == 1 and not is_crowded:
            return [Place(self.uniform(0.4, 0.6), self.uniform(0.4, 0.6), self.uniform(0.26, 0.36), "middle")]
        if num == 2 and not is_crowded and rng.random() < 0.4:
            a, b, c = self.uniform(0.24, 0.28), self.uniform(0.72, 0.76), self.uniform(0.4, 0.6)
            if rng.random() < 0.5:
                return [Place(a, c, 0.22, "left"), Place(b, c, 0.22, "right")]
            return [Place(c, a, 0.22, "top"), Place(c, b, 0.22, "bottom")]
        if num <= 4 and not is_crowded:
            spots = sorted(rng.sample(range(4), num))
            words = ("top left", "top right", "bottom left", "bottom right")
            return [
                Place(
                    0.27 + 0.46 * (spot % 2) + self.uniform(-0.04, 0.04),
                    0.27 + 0.46 * (spot // 2) + self.uniform(-0.04, 0.04),
                    0.2,
                    words[spot],
                )
                for spot in spots
            ]
        spots = sorted(rng.sample(range(9), num))
        rows, columns = ("top", "middle", "bottom"), ("left", "middle", "right")
        return [
            Place(
                0.18 + 0.32 * (spot % 3) + self.uniform(-0.02, 0.02),
                0.18 + 0.32 * (spot // 3) + self.uniform(-0.02, 0.02),
                0.135,
                "middle" if spot == 4 else f"{rows[spot // 3]} {columns[spot % 3]}",
            )
            for spot in spots
        ]


Template = Callable[[Sketch], Ask]


def finish(cell: Cell, sketch: Sketch, ask: Ask) -> Scene:
    """The finished scene; a multiple-choice question gets its shuffled options here."""
    answer = ask.value
    offered: list[str] = []
    if cell.question_type is QuestionType.MULTIPLE_CHOICE:
        rng = sketch.rng
        others = sorted({option for option in ask.options if option != ask.value})
        num_choices = 4 if rng.random() < sketch.difficulty else 3
        offered = [ask.value, *rng.sample(others, min(num_choices - 1, len(others)))]
        rng.shuffle(offered)
        answer = LETTERS[offered.index(ask.value)]
    return Scene(
        cell=cell,
        template=ask.template,
        objects=tuple(sketch.objects),
        query=ask.query,
        question=ask.question,
        choices=tuple(offered),
        answer=answer,
        description=ask.description,
        marks=tuple(sketch.marks),
    )


def at(x: float) -> float:
    """A coordinate as it is written into a scene description."""
    return round(x, 3)
