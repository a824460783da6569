"""Random lists of edits, for property tests."""

import hashlib

from hypothesis import strategies as st

from services.generators.agentic.tools.colors import NAMES, PALETTE, luma_difference
from services.generators.agentic.tools.edit_ops import (
    MIN_TEXT_CONTRAST,
    Blur,
    Box,
    Composite,
    Crop,
    Diffusion,
    EditOp,
    PlaceShape,
    PlaceText,
    ReplaceColor,
    Resize,
    RotateQuarter,
    ShiftHue,
    Tilt,
)
from services.generators.agentic.tools.shapes import OUTLINES
from tests.unit.agentic_tools.loopback import encoded, picture

_PAYLOADS = (encoded(picture(seed=7)), encoded(picture(200, 300, seed=8), "JPEG"))
SOURCES = {hashlib.sha256(payload).hexdigest(): payload for payload in _PAYLOADS}

colors = st.sampled_from(NAMES)
shares = st.floats(0, 1)


@st.composite
def boxes(draw: st.DrawFn, *, min_side: float = 0.05) -> Box:
    x0, y0 = draw(st.floats(0, 1 - min_side)), draw(st.floats(0, 1 - min_side))
    return Box(x0=x0, y0=y0, x1=draw(st.floats(min(1, x0 + min_side), 1)), y1=draw(st.floats(min(1, y0 + min_side), 1)))


crops = st.builds(Crop, op=st.just("crop"), box=boxes(min_side=0.6))
resizes = st.builds(Resize, op=st.just("resize"), scale=st.floats(0.5, 1.5))
hue_shifts = st.builds(ShiftHue, op=st.just("shift_hue"), box=boxes(), degrees=st.floats(-180, 180))
replacements = (
    st.tuples(colors, colors, boxes())
    .filter(lambda drawn: drawn[0] != drawn[1])
    .map(lambda drawn: ReplaceColor(op="replace_color", old=drawn[0], new=drawn[1], box=drawn[2]))
)
blurs = st.builds(Blur, op=st.just("blur"), box=boxes(), radius=st.floats(0.002, 0.1))
turns = st.builds(RotateQuarter, op=st.just("rotate_quarter"), quarter_turns=st.integers(1, 3))
tilts = st.builds(Tilt, op=st.just("tilt"), degrees=st.floats(-20, 20), fill=colors)
texts = (
    st.tuples(shares, shares, st.sampled_from(["7", "EXIT", "Room 12 ", "50% off!", "°C"]), st.floats(0.05, 0.2), colors, colors)
    .filter(lambda drawn: luma_difference(PALETTE[drawn[4]], PALETTE[drawn[5]]) >= MIN_TEXT_CONTRAST)
    .map(
        lambda drawn: PlaceText(
            op="place_text", x=drawn[0], y=drawn[1], text=drawn[2].strip(), height=drawn[3], color=drawn[4], background=drawn[5]
        )
    )
)
shapes = (
    st.tuples(st.sampled_from(sorted(OUTLINES)), shares, shares, st.floats(0.05, 0.4), colors, colors, st.floats(-180, 180))
    .filter(lambda drawn: drawn[4] != drawn[5])
    .map(
        lambda drawn: PlaceShape(
            op="place_shape", shape=drawn[0], x=drawn[1], y=drawn[2], size=drawn[3], color=drawn[4], outline=drawn[5], rotation_deg=drawn[6]
        )
    )
)
composites = st.builds(
    Composite,
    op=st.just("composite"),
    source_sha256=st.sampled_from(sorted(SOURCES)),
    source_box=boxes(),
    box=boxes(),
    mask=st.sampled_from(["box", "ellipse"]),
)
diffusions = st.builds(
    Diffusion,
    op=st.just("diffusion"),
    prompt=st.text(min_size=1, max_size=20),
    model=st.just("a-model"),
    seed=st.integers(0, 2**40),
    result_sha256=st.sampled_from(sorted(SOURCES)),
)
local_ops = st.one_of(crops, resizes, hue_shifts, replacements, blurs, turns, tilts, texts, shapes, composites)
ops: st.SearchStrategy[EditOp] = st.one_of(local_ops, diffusions)
