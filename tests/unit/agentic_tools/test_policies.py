"""The table of what may be done to images of each category is complete, and keeps diffusion away from what is measured."""

import typing

import pytest

from services.generators.agentic.tools.edit_ops import MAX_EDITS, LocalOp, OpName
from services.generators.agentic.tools.edits import read_edits
from services.generators.agentic.tools.policies import POLICIES, EditScope, SearchPriority, check_policy
from shared.domain import ImageCategory

BOX = {"x0": 0.1, "y0": 0.1, "x1": 0.9, "y1": 0.9}
DIGEST = "0" * 64
ONE_OF_EACH = read_edits(
    [
        {"op": "crop", "box": BOX},
        {"op": "resize", "scale": 0.5},
        {"op": "shift_hue", "box": BOX, "degrees": 10.0},
        {"op": "replace_color", "box": BOX, "old": "red", "new": "blue"},
        {"op": "blur", "box": BOX, "radius": 0.01},
        {"op": "rotate_quarter", "quarter_turns": 1},
        {"op": "tilt", "degrees": 5.0, "fill": "white"},
        {"op": "place_text", "x": 0.5, "y": 0.5, "text": "A", "height": 0.1, "color": "red"},
        {"op": "place_shape", "x": 0.5, "y": 0.5, "shape": "star", "size": 0.1, "color": "red"},
        {"op": "composite", "source_sha256": DIGEST, "source_box": BOX, "box": BOX, "mask": "box"},
        {"op": "diffusion", "prompt": "x", "model": "m", "seed": 0, "result_sha256": DIGEST},
    ]
)
PRECISE = {"geometric", "medical", "math_formula", "chart_graph", "text_dense", "diagram", "map"}


def test_every_category_has_a_policy_and_every_edit_is_known_to_the_table() -> None:
    assert set(POLICIES) == set(ImageCategory)
    assert {op.op for op in ONE_OF_EACH} == set(typing.get_args(OpName))
    assert {op.op for op in ONE_OF_EACH} - {"diffusion"} == {
        typing.get_args(model.model_fields["op"].annotation)[0] for model in typing.get_args(typing.get_args(LocalOp)[0])
    }
    assert set().union(*(policy.allowed for policy in POLICIES.values())) == set(typing.get_args(OpName))
    for policy in POLICIES.values():
        assert policy.allowed and policy.rule.endswith(".") and 0 < policy.max_edits <= MAX_EDITS


def test_the_table_is_that_of_the_method() -> None:
    of = {category.value: (policy.search, policy.scope) for category, policy in POLICIES.items()}
    assert {name for name, (search, _) in of.items() if search is SearchPriority.HEAVILY} == {"geometric", "medical", "math_formula"}
    assert {name for name, (search, _) in of.items() if search is SearchPriority.PREFERRED} == {
        *("chart_graph", "text_dense", "diagram", "map", "architectural")
    }
    assert {name for name, (search, _) in of.items() if search is SearchPriority.GENERATION_FRIENDLY} == {"artistic"}
    assert {name for name, (_, scope) in of.items() if scope is EditScope.MINIMAL} == {"geometric", "medical", "math_formula"}
    assert of["text_dense"][1] is EditScope.TARGETED
    assert of["natural_scene"][1] is EditScope.FLEXIBLE
    assert of["artistic"][1] is EditScope.VERY_FLEXIBLE


def test_nothing_that_is_measured_is_repainted_turned_or_covered() -> None:
    assert {category.value for category, policy in POLICIES.items() if not policy.may_diffuse} == PRECISE
    for name in PRECISE:
        assert not POLICIES[ImageCategory(name)].allowed & {"diffusion", "composite", "blur", "rotate_quarter", "tilt"}
    for name in ("geometric", "medical", "math_formula", "chart_graph"):
        assert "crop" not in POLICIES[ImageCategory(name)].allowed
    assert not POLICIES[ImageCategory.MEDICAL].allowed & {"shift_hue", "replace_color"}


@pytest.mark.parametrize("category", ImageCategory)
def test_an_edit_is_against_the_policy_exactly_where_the_table_lacks_it(category: ImageCategory) -> None:
    policy = POLICIES[category]
    for op in ONE_OF_EACH:
        broken = check_policy(category, [op])
        assert bool(broken) == (op.op not in policy.allowed)
        assert all(op.op in text and policy.rule in text for text in broken)
    assert check_policy(category, []) == ()


@pytest.mark.parametrize("category", ImageCategory)
def test_edits_are_counted(category: ImageCategory) -> None:
    policy = POLICIES[category]
    one = next(op for op in ONE_OF_EACH if op.op in policy.allowed)
    assert check_policy(category, [one] * policy.max_edits) == ()
    (broken,) = check_policy(category, [one] * (policy.max_edits + 1))
    assert str(policy.max_edits) in broken
