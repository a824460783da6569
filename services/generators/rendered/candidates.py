"""Candidates from seeds: the same cell, seed, difficulty and size make the same candidates, whoever makes them."""

import json
from random import Random

from services.generators.candidate_identity import candidate_id
from services.generators.rendered import charts, diagrams, formulas, geometric, household, maps, nature, texts
from services.generators.rendered.drawing import draw_png
from services.generators.rendered.scenes import Scene, Sketch, Template, finish
from shared.domain import Candidate, Cell, ImageCategory, QuestionType
from shared.errors import Rejected

KIND = "rendered"
VERSION = "1.0.0"
LICENCE = "CC0-1.0 generated"
MAX_CANDIDATES = 10_000
"""Of one request or lease."""

_BY_CATEGORY: dict[ImageCategory, dict[QuestionType, tuple[Template, ...]]] = {
    ImageCategory.GEOMETRIC: geometric.TEMPLATES,
    ImageCategory.CHART_GRAPH: charts.TEMPLATES,
    ImageCategory.TEXT_DENSE: texts.TEMPLATES,
    ImageCategory.DIAGRAM: diagrams.TEMPLATES,
    ImageCategory.MATH_FORMULA: formulas.TEMPLATES,
    ImageCategory.MAP: maps.TEMPLATES,
    ImageCategory.NATURAL_SCENE: nature.TEMPLATES,
    ImageCategory.EVERYDAY_OBJECT: household.TEMPLATES,
}

TEMPLATES: dict[Cell, tuple[Template, ...]] = {
    Cell(category, question_type): templates for category, by_type in _BY_CATEGORY.items() for question_type, templates in by_type.items()
}
CELLS: tuple[Cell, ...] = tuple(TEMPLATES)


def make_scene(cell: Cell, rng: Random, difficulty: float) -> Scene:
    """A random scene of a cell.

    Raises:
        Rejected: this generator does not serve the cell.
    """
    templates = TEMPLATES.get(cell)
    if templates is None:
        raise Rejected(f"the rendered generator does not serve {cell}; it serves {', '.join(map(str, CELLS))}")
    sketch = Sketch(rng, difficulty)
    return finish(cell, sketch, rng.choice(templates)(sketch))


def describe(scene: Scene) -> str:
    """What is to be seen, in words."""
    return scene.description


def check_request(cell: Cell, num: int, difficulty: float, image_size_px: int) -> None:
    """Refuses what can't be made.

    Raises:
        Rejected: the cell is not served, or a value is out of range.
    """
    if cell not in TEMPLATES:
        raise Rejected(f"the rendered generator does not serve {cell}; it serves {', '.join(map(str, CELLS))}")
    if not 0 <= num <= MAX_CANDIDATES or not 0 <= difficulty <= 1 or not 32 <= image_size_px <= 2048:
        asked = f"{num} candidates, difficulty {difficulty}, image_size_px {image_size_px}"
        raise Rejected(f"{asked}: must be at most {MAX_CANDIDATES} candidates, difficulty in [0, 1], image_size_px in [32, 2048]")


def make_candidate(cell: Cell, index: int, seed: int, difficulty: float, image_size_px: int) -> Candidate:
    """The candidate at one place of a seed's endless list.

    Raises:
        Rejected: this generator does not serve the cell.
    """
    scene = make_scene(cell, Random(f"{seed}/{cell}/{index}"), difficulty)
    image = draw_png(scene.marks, image_size_px)
    provenance = {
        "generator": {"kind": KIND, "version": VERSION},
        "seed": seed,
        "index": index,
        "template": scene.template,
        "difficulty": difficulty,
        "image_size_px": image_size_px,
        "licence": LICENCE,
    }
    return Candidate(
        candidate_id=candidate_id(image, scene.question, scene.choices, scene.answer),
        cell=cell,
        image=image,
        question=scene.question,
        choices=scene.choices,
        answer=scene.answer,
        tolerance=0.0,
        scene=scene.to_json(),
        provenance=json.dumps(provenance, separators=(",", ":")),
    )


def make_candidates(cell: Cell, num: int, seed: int, difficulty: float, image_size_px: int) -> list[Candidate]:
    """`num` candidates of a cell; a longer list with the same arguments begins with a shorter one.

    `difficulty` is in [0, 1], `image_size_px` the side of the square image, 32 to 2048.

    Raises:
        Rejected: the cell is not served, or a value is out of range.
    """
    check_request(cell, num, difficulty, image_size_px)
    return [make_candidate(cell, index, seed, difficulty, image_size_px) for index in range(num)]
