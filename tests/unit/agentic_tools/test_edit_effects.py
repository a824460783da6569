"""What edits are known to have done is what the pixels show."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.generators.agentic.tools.colors import NAMES, name_indices
from services.generators.agentic.tools.edit_effects import WHOLE, Aspect, effect, effects
from services.generators.agentic.tools.edit_ops import EditOp
from services.generators.agentic.tools.edits import EditRefused, apply_edits, read_edits
from services.generators.agentic.tools.shapes import OUTLINES
from tests.unit.agentic_tools.edit_lists import SOURCES, local_ops, ops
from tests.unit.agentic_tools.loopback import encoded, picture

BOX = {"x0": 0.0, "y0": 0.0, "x1": 0.5, "y1": 0.5}
RIGHT = {"x0": 0.6, "y0": 0.0, "x1": 1.0, "y1": 1.0}
STAR = {"op": "place_shape", "shape": "star", "x": 0.2, "y": 0.2, "size": 0.2, "color": "red"}
SIGN = {"op": "place_text", "x": 0.8, "y": 0.8, "text": "EXIT", "height": 0.1, "color": "white", "background": "green"}


def op(edit: dict[str, object]) -> EditOp:
    return read_edits([edit])[0]


def known(*edits: dict[str, object]) -> list[bool]:
    return [one.is_known for one in effects(read_edits(list(edits)))]


@pytest.mark.parametrize(
    ("edit", "text", "aspects", "is_known"),
    [
        (STAR, "added a red star, at the top left", {Aspect.COUNT, Aspect.COLOR, Aspect.CONTENT}, True),
        ({**STAR, "color": "orange", "outline": "black"}, "added an orange star with a black outline, at the top left", None, True),
        ({**STAR, "shape": "arrow", "rotation_deg": 90.0}, "added a red arrow that points downwards, at the top left", None, True),
        ({**STAR, "shape": "arrow", "rotation_deg": 45.0}, "added a red arrow, at the top left", None, True),
        (SIGN, 'added the text "EXIT" in white on a green plate, at the bottom right', {Aspect.TEXT, Aspect.COUNT, Aspect.CONTENT}, True),
        ({"op": "resize", "scale": 2.0}, "changed the number of pixels: each side is 2 times as long", set(), False),
        ({"op": "crop", "box": {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0}}, "", set(), False),
        ({"op": "crop", "box": BOX}, "removed everything outside the part at the top left", None, False),
        (
            {"op": "replace_color", "box": BOX, "old": "red", "new": "blue"},
            "changed what was red at the top left: it is blue",
            {Aspect.COLOR, Aspect.COUNT},
            True,
        ),
        (
            {"op": "rotate_quarter", "quarter_turns": 2},
            "changed the whole image: turned clockwise by 180 degrees",
            {Aspect.POSITION, Aspect.ORIENTATION},
            True,
        ),
        ({"op": "blur", "box": RIGHT, "radius": 0.05}, "removed fine detail at the right", None, False),
        (
            {"op": "diffusion", "prompt": "snow", "model": "m", "seed": 0, "result_sha256": "0" * 64},
            "changed anything: a diffusion editor was asked for 'snow'",
            set(Aspect),
            False,
        ),
    ],
)
def test_effects_in_words(edit: dict[str, object], text: str, aspects: set[Aspect] | None, is_known: bool) -> None:
    one = effect(op(edit))
    assert (one.text, one.is_known) == (text, is_known)
    assert one.changes_answers == bool(one.can_change)
    if aspects is not None:
        assert one.can_change == aspects


@given(ops)
def test_every_edit_states_an_effect_within_the_image(one: EditOp) -> None:
    stated = effect(one, aspect_ratio=1.5)
    left, top, right, bottom = stated.region
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert stated.op == one.op
    assert stated.text or one.op == "crop"


def test_an_effect_is_known_until_something_touches_its_place() -> None:
    assert known(STAR, SIGN) == [True, True]
    assert known(STAR, {"op": "blur", "box": BOX, "radius": 0.05}) == [False, False]
    assert known(STAR, {"op": "blur", "box": RIGHT, "radius": 0.05}) == [True, False]
    assert known(STAR, {**STAR, "color": "blue"}) == [False, True]
    assert known(STAR, {"op": "shift_hue", "box": BOX, "degrees": 90.0}) == [False, False]
    assert known(STAR, {"op": "replace_color", "box": BOX, "old": "red", "new": "blue"}) == [False, True]
    assert known(STAR, {"op": "resize", "scale": 0.8}) == [True, False]
    assert known(STAR, {"op": "resize", "scale": 0.3}) == [False, False]
    composite = {"op": "composite", "source_sha256": min(SOURCES), "source_box": BOX, "mask": "ellipse"}
    assert known(STAR, {**composite, "box": BOX}) == [False, False]
    assert known(STAR, {**composite, "box": RIGHT}) == [True, False]
    assert known(STAR, {"op": "diffusion", "prompt": "x", "model": "m", "seed": 0, "result_sha256": "0" * 64}) == [False, False]


def test_places_are_followed_and_no_longer_known_where_their_words_would_lie() -> None:
    (star, _) = effects(read_edits([STAR, {"op": "crop", "box": {"x0": 0.0, "y0": 0.0, "x1": 0.9, "y1": 0.9}}]))
    assert star.is_known and star.region == pytest.approx((0.1 / 0.9, 0.1 / 0.9, 0.3 / 0.9, 0.2832 / 0.9), abs=0.02)
    (star, _) = effects(read_edits([STAR, {"op": "crop", "box": BOX}]))
    assert not star.is_known
    (star, _) = effects(read_edits([STAR, {"op": "crop", "box": RIGHT}]))
    assert not star.is_known
    (star, turn) = effects(read_edits([STAR, {"op": "rotate_quarter", "quarter_turns": 1}]))
    assert not star.is_known and turn.is_known and star.region[0] > 0.6 and star.region[3] < 0.4


def test_what_points_is_not_known_to_point_there_after_a_turn() -> None:
    arrow = {**STAR, "shape": "arrow", "x": 0.5, "y": 0.5}
    assert known(arrow, {"op": "rotate_quarter", "quarter_turns": 1}) == [False, True]


@pytest.mark.parametrize("size", [(400, 200), (200, 400), (300, 300)])
@pytest.mark.parametrize("name", OUTLINES)
def test_a_shapes_region_is_what_it_covers(name: str, size: tuple[int, int]) -> None:
    one = op({**STAR, "shape": name, "x": 0.4, "y": 0.6, "size": 0.5, "rotation_deg": 30.0})
    made = Image.open(io.BytesIO(apply_edits(encoded(Image.new("RGB", size, "white")), [one], read_source=SOURCES.__getitem__)))
    inked = np.argwhere(np.asarray(made.convert("L")) < 250)
    (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0) + 1
    region = effect(one, aspect_ratio=size[0] / size[1]).region
    assert [edge * side for edge, side in zip(region, size * 2, strict=True)] == pytest.approx([left, top, right, bottom], abs=2)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(local_ops, min_size=1, max_size=5), st.sampled_from([(320, 256), (256, 400), (300, 300)]))
def test_what_is_known_of_a_shape_is_to_be_seen(chosen: list[EditOp], size: tuple[int, int]) -> None:
    """Where a list leaves a shape known, its colour is in the middle of its place; and where no shape was placed, none is claimed."""
    try:
        made = apply_edits(encoded(picture(*size)), chosen, read_source=SOURCES.__getitem__)
    except EditRefused:
        return
    image = Image.open(io.BytesIO(made))
    seen = effects(chosen, aspect_ratio=size[0] / size[1])
    assert len(seen) == len(chosen)
    for stated, made_by in zip(seen, chosen, strict=True):
        if made_by.op != "place_shape" or not stated.is_known:
            continue
        box = [round(edge * side) for edge, side in zip(stated.region, image.size * 2, strict=True)]
        pixels = image.crop((box[0], box[1], box[2], box[3]))
        share = (name_indices(np.asarray(pixels)) == NAMES.index(made_by.color)).mean()
        assert share > 0.1, stated


@settings(max_examples=60, deadline=None)
@given(local_ops)
def test_pixels_outside_of_an_effects_region_stay_as_they_were(one: EditOp) -> None:
    original = picture(320, 256)
    stated = effect(one, aspect_ratio=320 / 256)
    if stated.region == WHOLE:
        return
    try:
        made = Image.open(io.BytesIO(apply_edits(encoded(original), [one], read_source=SOURCES.__getitem__)))
    except EditRefused:
        return
    changed = np.argwhere((np.asarray(made) != np.asarray(original)).any(axis=2))
    if len(changed):
        (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
        assert left >= stated.region[0] * 320 - 2 and right <= stated.region[2] * 320 + 2
        assert top >= stated.region[1] * 256 - 2 and bottom <= stated.region[3] * 256 + 2
