"""Edits are exact, bounded, recorded, and made again to the byte."""

import hashlib
import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pydantic import TypeAdapter, ValidationError

from services.generators.agentic.tools.colors import NAMES, PALETTE, ColorName, hsv_of, name_indices, painted, rgb_of
from services.generators.agentic.tools.edit_ops import MAX_EDITS, TEXT_CHARACTERS, EditOp, LocalOp
from services.generators.agentic.tools.edit_pixels import MIN_SIDE_PX
from services.generators.agentic.tools.edits import (
    EDITOR,
    EditRefused,
    apply_edits,
    needed_sources,
    read_edits,
    recorded,
    replay,
)
from services.generators.agentic.tools.rasters import MAX_PIXELS
from services.generators.agentic.tools.shapes import OUTLINES, extent_of
from shared.errors import DigestMismatch, NotFound, Rejected
from shared.images.decoding import ImageRefused
from tests.unit.agentic_tools.edit_lists import SOURCES, ops
from tests.unit.agentic_tools.loopback import encoded, picture

WHITE = encoded(Image.new("RGB", (400, 300), "white"))
WHOLE = {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0}
LEFT = {"x0": 0.0, "y0": 0.0, "x1": 0.5, "y1": 1.0}


def read_source(digest: str) -> bytes:
    if digest not in SOURCES:
        raise NotFound(digest)
    return SOURCES[digest]


def edited(image: bytes, *edits: dict[str, object]) -> Image.Image:
    return Image.open(io.BytesIO(replay(image, edits, read_source=read_source)))


def color_at(image: Image.Image, x: float, y: float) -> str:
    pixel = np.array([[image.getpixel((int(x * image.width), int(y * image.height)))]], dtype=np.uint8)
    return NAMES[int(name_indices(pixel)[0, 0])]


def shape(**changes: object) -> dict[str, object]:
    return {"op": "place_shape", "shape": "circle", "x": 0.5, "y": 0.5, "size": 0.4, "color": "red", **changes}


def line(**changes: object) -> dict[str, object]:
    return {"op": "place_text", "x": 0.5, "y": 0.5, "text": "EXIT 12", "height": 0.15, "color": "black", **changes}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ops, max_size=6))
def test_any_list_is_made_again_from_its_json_to_the_byte(chosen: list[EditOp]) -> None:
    image = encoded(picture())
    try:
        made = apply_edits(image, chosen, read_source=read_source)
    except EditRefused:
        with pytest.raises(EditRefused):
            replay(image, json.loads(json.dumps(recorded(chosen))), read_source=read_source)
        return
    text = json.dumps(recorded(chosen))
    assert read_edits(json.loads(text)) == chosen
    assert replay(image, json.loads(text), read_source=read_source) == made
    result = Image.open(io.BytesIO(made))
    assert (result.format, result.mode, result.info) == ("PNG", "RGB", {})
    assert min(result.size) >= MIN_SIDE_PX and result.width * result.height <= MAX_PIXELS


def test_no_edit_re_encodes_the_picture_alone() -> None:
    original = picture()
    assert Image.open(io.BytesIO(apply_edits(encoded(original), [], read_source=read_source))).tobytes() == original.tobytes()
    assert "pillow" in EDITOR


def test_crops_keep_just_the_box() -> None:
    original = picture(400, 320)
    kept = edited(encoded(original), {"op": "crop", "box": {"x0": 0.25, "y0": 0.5, "x1": 0.75, "y1": 1.0}})
    assert kept.tobytes() == original.crop((100, 160, 300, 320)).tobytes()


def test_resizing_scales_both_sides() -> None:
    assert edited(encoded(picture(400, 320)), {"op": "resize", "scale": 1.5}).size == (600, 480)


@pytest.mark.parametrize(("turns", "corner"), [(1, (1.0, 0.0)), (2, (1.0, 1.0)), (3, (0.0, 1.0))])
def test_quarter_turns_are_clockwise(turns: int, corner: tuple[float, float]) -> None:
    image = Image.new("RGB", (400, 200), "white")
    image.paste((220, 30, 30), (0, 0, 40, 40))
    turned = edited(encoded(image), {"op": "rotate_quarter", "quarter_turns": turns})
    assert turned.size == ((200, 400) if turns % 2 else (400, 200))
    assert color_at(turned, *(abs(edge - 0.02) for edge in corner)) == "red"
    restored = edited(encoded(turned), {"op": "rotate_quarter", "quarter_turns": 4 - turns})
    assert restored.tobytes() == image.tobytes()


def test_tilting_is_clockwise_and_fills_the_corners() -> None:
    image = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(image).line((200, 200, 200, 20), fill="black", width=8)
    tilted = edited(encoded(image), {"op": "tilt", "degrees": 15.0, "fill": "green"})
    assert tilted.size == (400, 400)
    assert {color_at(tilted, x, y) for x in (0.005, 0.99) for y in (0.005, 0.99)} == {"green"}
    rows = np.asarray(tilted.convert("L"))[60]
    assert np.argmin(rows) > 220


def test_recolouring_stays_within_its_box_and_its_colour() -> None:
    image = Image.new("RGB", (400, 200), "white")
    for left in (40, 240):
        image.paste(PALETTE["red"], (left, 50, left + 60, 110))
    changed = edited(encoded(image), {"op": "replace_color", "box": LEFT, "old": "red", "new": "blue"})
    assert (color_at(changed, 0.15, 0.4), color_at(changed, 0.65, 0.4), color_at(changed, 0.4, 0.9)) == ("blue", "red", "white")


@pytest.mark.parametrize("old", NAMES)
@pytest.mark.parametrize("new", NAMES)
def test_every_colour_becomes_every_other_shades_included(old: ColorName, new: ColorName) -> None:
    shades = np.linspace(0.8, 1, 40)[None, :, None] * np.array(PALETTE[old])
    patch = np.rint(np.broadcast_to(shades, (10, 40, 3))).astype(np.uint8)
    assert set(name_indices(patch).ravel()) == {NAMES.index(old)}
    assert set(name_indices(painted(patch, new)).ravel()) == {NAMES.index(new)}


def test_hues_turn_and_grays_stay() -> None:
    image = Image.new("RGB", (300, 300), (128, 128, 128))
    image.paste((255, 0, 0), (0, 0, 100, 300))
    turned = edited(encoded(image), {"op": "shift_hue", "box": WHOLE, "degrees": 120.0})
    assert turned.getpixel((50, 50)) == (0, 255, 0)
    assert turned.getpixel((200, 50)) == (128, 128, 128)


def test_hue_saturation_and_value_turn_back_into_the_same_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert (rgb_of(*hsv_of(pixels)) == pixels).all()


def test_blurring_stays_within_its_box() -> None:
    original = picture(400, 320)
    blurred = edited(encoded(original), {"op": "blur", "box": LEFT, "radius": 0.05})
    assert blurred.crop((200, 0, 400, 320)).tobytes() == original.crop((200, 0, 400, 320)).tobytes()
    left = np.asarray(blurred.crop((0, 0, 200, 320)), dtype=float)
    assert np.abs(np.diff(left, axis=1)).mean() < np.abs(np.diff(np.asarray(original, dtype=float), axis=1)).mean()
    assert left.std() < np.asarray(original, dtype=float).std() / 2


@pytest.mark.parametrize("name", OUTLINES)
def test_shapes_are_where_they_are_said_to_be(name: str) -> None:
    placed = edited(WHITE, shape(shape=name, x=0.25, y=0.7, size=0.4, rotation_deg=20.0))
    assert color_at(placed, 0.25, 0.7) == "red"
    inked = np.argwhere(np.asarray(placed.convert("L")) < 250)
    (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0)
    extent = extent_of(name, rotation_deg=20.0)  # type: ignore[arg-type]
    expected = [100 + 60 * extent[0], 210 + 60 * extent[1], 100 + 60 * extent[2], 210 + 60 * extent[3]]
    assert [left, top, right, bottom] == pytest.approx(expected, abs=2.5)


def test_a_shapes_longer_side_is_its_size() -> None:
    for name in OUTLINES:
        left, top, right, bottom = extent_of(name, rotation_deg=0.0)
        assert max(right - left, bottom - top) == pytest.approx(2.0)


def test_outlines_go_round_their_shape() -> None:
    placed = edited(WHITE, shape(size=0.8, color="yellow", outline="blue"))
    assert (color_at(placed, 0.5, 0.5), color_at(placed, 0.5, 0.5 - 0.4 + 0.015)) == ("yellow", "blue")


def test_texts_stand_on_their_plate() -> None:
    placed = edited(encoded(Image.new("RGB", (400, 300), (20, 20, 20))), line(background="yellow"))
    ink = np.asarray(placed)
    assert color_at(placed, 0.5, 0.42) == "yellow"
    assert (np.abs(ink[100:200].astype(int) - np.array(PALETTE["black"])).sum(axis=2) < 30).sum() > 500


def test_every_character_that_is_let_in_can_be_drawn() -> None:
    unknown = edited(WHITE, line(text="~")).tobytes()
    drawn = {char: edited(WHITE, line(text=char)).tobytes() for char in sorted(TEXT_CHARACTERS - {" "})}
    assert len(set(drawn.values())) == len(drawn)
    assert drawn["~"] == unknown


@pytest.mark.parametrize("mask", ["box", "ellipse"])
def test_composites_show_the_other_image_within_their_mask(mask: str) -> None:
    digest = min(SOURCES)
    other = Image.open(io.BytesIO(SOURCES[digest])).convert("RGB")
    box = {"x0": 0.25, "y0": 0.25, "x1": 0.75, "y1": 0.75}
    pasted = edited(WHITE, {"op": "composite", "source_sha256": digest, "source_box": WHOLE, "box": box, "mask": mask})
    expected = other.resize((200, 150), Image.Resampling.LANCZOS)
    assert pasted.getpixel((200, 150)) == expected.getpixel((100, 75))
    assert pasted.getpixel((98, 150)) == (255, 255, 255)
    assert (pasted.getpixel((101, 76)) == (255, 255, 255)) == (mask == "ellipse")


def test_a_diffusion_step_is_read_and_not_asked_again() -> None:
    digest = min(SOURCES)
    step = {"op": "diffusion", "prompt": "make it snow", "model": "an-editor", "seed": 7, "result_sha256": digest}
    expected = apply_edits(SOURCES[digest], [], read_source=read_source)
    assert replay(WHITE, [shape(), step], read_source=read_source) == expected
    assert needed_sources(read_edits([step])) == {digest}
    assert replay(WHITE, [step, shape()], read_source=read_source) != expected


def test_other_bytes_than_were_named_are_found_out() -> None:
    step = {"op": "diffusion", "prompt": "x", "model": "m", "seed": 0, "result_sha256": min(SOURCES)}
    with pytest.raises(DigestMismatch):
        replay(WHITE, [step], read_source=lambda _: WHITE)
    missing = {**step, "result_sha256": hashlib.sha256(b"").hexdigest()}
    with pytest.raises(NotFound):
        replay(WHITE, [missing], read_source=read_source)


@pytest.mark.parametrize(
    "edit",
    [
        line(x=0.02),
        line(text="a very long line of text that does not fit at all", height=0.3),
        line(height=0.02),
        line(color="white"),
        line(color="yellow"),
        shape(x=0.1),
        shape(y=0.9, size=0.3),
        shape(size=0.02),
        shape(color="white"),
        shape(color="yellow", outline="white"),
        {"op": "replace_color", "box": WHOLE, "old": "red", "new": "blue"},
        {"op": "crop", "box": {"x0": 0.0, "y0": 0.0, "x1": 0.1, "y1": 1.0}},
        {"op": "resize", "scale": 0.1},
    ],
)
def test_edits_whose_effect_would_not_be_seen_are_refused(edit: dict[str, object]) -> None:
    with pytest.raises(EditRefused):
        edited(WHITE, edit)


def test_pixels_and_edits_are_capped() -> None:
    large = encoded(Image.new("RGB", (2048, 2048)))
    with pytest.raises(EditRefused, match="cap"):
        edited(large, {"op": "resize", "scale": 1.01})
    with pytest.raises(EditRefused, match="cap"):
        edited(encoded(picture(1200, 1200)), {"op": "resize", "scale": 4.0})
    with pytest.raises(ImageRefused):
        edited(encoded(Image.new("RGB", (2049, 2048))))
    with pytest.raises(EditRefused, match="cap"):
        edited(WHITE, *[{"op": "blur", "box": WHOLE, "radius": 0.01}] * (MAX_EDITS + 1))


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"op": "shell", "command": "ls"},
        {"op": "crop"},
        {"op": "crop", "box": WHOLE, "path": "/etc/passwd"},
        {"op": "crop", "box": {**WHOLE, "x1": 1.5}},
        {"op": "crop", "box": {**WHOLE, "x0": -0.1}},
        {"op": "crop", "box": {**WHOLE, "x0": float("nan")}},
        {"op": "crop", "box": {**WHOLE, "x0": 1.0}},
        {"op": "crop", "box": {**WHOLE, "x0": "0"}},
        {"op": "resize", "scale": float("inf")},
        {"op": "resize", "scale": 100},
        {"op": "rotate_quarter", "quarter_turns": 4},
        {"op": "rotate_quarter", "quarter_turns": 1.0},
        {"op": "replace_color", "box": WHOLE, "old": "red", "new": "red"},
        {"op": "replace_color", "box": WHOLE, "old": "red", "new": "crimson"},
        line(text="狐"),
        line(text="two\nlines"),
        line(text=" padded "),
        line(text=""),
        line(text="x" * 61),
        line(color="black", background="black"),
        line(color="yellow", background="white"),
        line(color="red", background="blue"),
        line(color="#ff0000"),
        shape(outline="red"),
        shape(shape="heart"),
        {"op": "composite", "source_sha256": "../../etc/passwd", "source_box": WHOLE, "box": WHOLE, "mask": "box"},
        {"op": "diffusion", "prompt": "x", "model": "m", "seed": -1, "result_sha256": "0" * 64},
    ],
)
def test_what_is_not_on_the_list_can_not_be_asked_for(edit: dict[str, object]) -> None:
    with pytest.raises(Rejected):
        read_edits([edit])


def test_agents_can_not_ask_for_a_diffusion_result_themselves() -> None:
    step = {"op": "diffusion", "prompt": "x", "model": "m", "seed": 0, "result_sha256": "0" * 64}
    with pytest.raises(ValidationError):
        TypeAdapter(LocalOp).validate_python(step)
    assert read_edits([step])
