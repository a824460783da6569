"""What the rendered generator promises about its candidates."""

import io
import json
from collections import Counter, defaultdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.generators.candidate_identity import lease_seed
from services.generators.rendered.candidates import CELLS, TEMPLATES, describe, make_candidates, make_scene
from services.generators.rendered.drawing import draw_png
from services.generators.rendered.scenes import Sketch, finish
from shared.answers import check_reference, grade
from shared.domain import Candidate, Cell, ImageCategory, Lease, ModelVersion, QuestionType, Recipe
from shared.errors import Rejected
from shared.prompt import LETTERS
from tests.examples import artifact
from tests.unit.generators.derivation import derive

EACH_CELL = pytest.mark.parametrize("cell", CELLS, ids=str)


def value_of(candidate: Candidate) -> str:
    """The answer itself, also where a letter stands for it."""
    return candidate.choices[LETTERS.index(candidate.answer)] if candidate.choices else candidate.answer


def test_eight_categories_by_three_question_types_are_served() -> None:
    assert len(CELLS) == 24
    assert {cell.category for cell in CELLS} == {
        ImageCategory.GEOMETRIC,
        ImageCategory.CHART_GRAPH,
        ImageCategory.TEXT_DENSE,
        ImageCategory.DIAGRAM,
        ImageCategory.MATH_FORMULA,
        ImageCategory.MAP,
        ImageCategory.NATURAL_SCENE,
        ImageCategory.EVERYDAY_OBJECT,
    }


@EACH_CELL
def test_the_answer_follows_from_the_scene_description(cell: Cell) -> None:
    for difficulty in (0.0, 0.5, 1.0):
        for candidate in make_candidates(cell, 60, 11, difficulty, 32):
            scene = json.loads(candidate.scene)
            assert (scene["schema"], scene["category"]) == ("spiral.scene/1", cell.category.value)
            assert derive(scene["objects"], scene["query"]) == value_of(candidate), candidate.scene


@EACH_CELL
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), difficulty=st.floats(0, 1))
def test_any_candidate_is_well_formed_and_its_own_answer_is_graded_correct(cell: Cell, seed: int, difficulty: float) -> None:
    (candidate,) = make_candidates(cell, 1, seed, difficulty, 32)
    reference = {"question_type": cell.question_type, "answer": candidate.answer, "choices": candidate.choices}
    assert check_reference(**reference, tolerance=candidate.tolerance) is None
    assert grade(candidate.answer, **reference).is_correct
    assert grade(value_of(candidate), **reference).is_correct
    assert len(candidate.question.split()) <= 12
    assert len(candidate.choices) in ((2, 3, 4) if cell.question_type is QuestionType.MULTIPLE_CHOICE else (0,))
    if cell.question_type is QuestionType.NUMERIC:
        assert 0 <= int(candidate.answer) <= 20
    with Image.open(io.BytesIO(candidate.image)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))


@EACH_CELL
def test_the_same_request_makes_the_same_candidates_and_a_longer_one_begins_with_them(cell: Cell) -> None:
    first = make_candidates(cell, 5, 3, 0.4, 64)
    assert make_candidates(cell, 9, 3, 0.4, 64)[:5] == first
    assert not {c.candidate_id for c in first} & {c.candidate_id for c in make_candidates(cell, 5, 4, 0.4, 64)}


@EACH_CELL
@pytest.mark.parametrize("difficulty", [0.0, 0.5])
def test_no_guess_without_the_image_gets_far(cell: Cell, difficulty: float) -> None:
    by_template: dict[str, Counter[str]] = defaultdict(Counter)
    everything: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    for index in range(600):
        scene = make_scene(cell, Random(f"guess/{cell}/{index}"), difficulty)
        value = scene.choices[LETTERS.index(scene.answer)] if scene.choices else scene.answer
        by_template[scene.template][value] += 1
        everything[value] += 1
        letters[scene.answer] += 1
    assert everything.most_common(1)[0][1] / 600 < 0.36
    if cell.question_type is QuestionType.MULTIPLE_CHOICE:
        assert letters.most_common(1)[0][1] / 600 < 0.4
    for template, answers in by_template.items():
        assert answers.most_common(1)[0][1] / answers.total() < 0.5, template


@EACH_CELL
def test_every_template_of_a_cell_is_drawn_and_described(cell: Cell) -> None:
    names = set()
    for template in TEMPLATES[cell]:
        sketch = Sketch(Random(str(cell)), 0.5)
        scene = finish(cell, sketch, template(sketch))
        names.add(scene.template)
        assert 2 <= len(describe(scene).split()) <= 60
    assert len(names) == len(TEMPLATES[cell])


def test_questions_and_answers_keep_to_a_small_vocabulary() -> None:
    words: set[str] = set()
    for cell in CELLS:
        for index in range(150):
            scene = make_scene(cell, Random(f"words/{index}"), 0.8)
            words.update(f"{scene.question} {' '.join(scene.choices)} {scene.answer}".replace("?", " ").replace(",", " ").lower().split())
    assert len(words) < 260


@EACH_CELL
def test_duplicates_are_rare(cell: Cell) -> None:
    # No collision among 500 speaks for more than 40,000 distinct pairs (birthday bound, 95 %), here where scenes are plainest.
    candidates = make_candidates(cell, 500, 23, 0.0, 64)
    assert len({(candidate.image, candidate.question) for candidate in candidates}) == 500


def test_a_scene_is_drawn_alike_at_every_size() -> None:
    scene = make_scene(CELLS[0], Random(5), 0.2)
    small, large = (Image.open(io.BytesIO(draw_png(scene.marks, size))) for size in (64, 448))
    shrunk, kept = large.resize((64, 64), Image.Resampling.BOX).tobytes(), small.tobytes()
    assert sum(abs(a - b) for a, b in zip(shrunk, kept, strict=True)) / len(kept) < 4


@pytest.mark.parametrize(
    ("cell", "num", "difficulty", "image_size_px", "named"),
    [
        (Cell(ImageCategory.MEDICAL, QuestionType.TEXT), 1, 0.5, 64, "does not serve medical/text"),
        (CELLS[0], -1, 0.5, 64, "-1 candidates"),
        (CELLS[0], 10_001, 0.5, 64, "10001 candidates"),
        (CELLS[0], 1, 1.5, 64, "difficulty 1.5"),
        (CELLS[0], 1, float("nan"), 64, "difficulty nan"),
        (CELLS[0], 1, 0.5, 16, "image_size_px 16"),
        (CELLS[0], 1, 0.5, 50_000, "image_size_px 50000"),
    ],
)
def test_what_cannot_be_made_is_refused(cell: Cell, num: int, difficulty: float, image_size_px: int, named: str) -> None:
    with pytest.raises(Rejected, match=named):
        make_candidates(cell, num, 1, difficulty, image_size_px)


def test_leases_of_one_seed_differ() -> None:
    def seed_of(lease_id: str) -> int:
        return lease_seed(
            Lease(lease_id, CELLS[0], Recipe.TEACH, "rendered", 0, 8, 8, 42, 0.5, 64, ModelVersion("m", 0, artifact("checkpoint")))
        )

    assert seed_of("a") == seed_of("a") != seed_of("b")
