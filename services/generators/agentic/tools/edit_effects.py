"""What edits have done to an image, known without looking at it, so that a question about it can be answered by construction.

An effect stays known only as long as no later edit touches its place; through crops, turns and resizes its place is followed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.generators.agentic.tools.edit_ops import (
    Blur,
    Box,
    Composite,
    Crop,
    Diffusion,
    EditOp,
    LocalOp,
    PlaceShape,
    PlaceText,
    ReplaceColor,
    Resize,
    RotateQuarter,
    ShiftHue,
    Tilt,
)
from services.generators.agentic.tools.shapes import extent_of

_MIN_LEGIBLE_SCALE = 0.6
_DIRECTIONS = {0: "to the right", 90: "downwards", 180: "to the left", -180: "to the left", -90: "upwards"}

Region = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the image."""
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


class Aspect(StrEnum):
    """What answers may hang on."""

    COUNT = "count"
    COLOR = "color"
    TEXT = "text"
    POSITION = "position"
    SIZE = "size"
    ORIENTATION = "orientation"
    CONTENT = "content"
    """What is shown at all."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one edit did."""

    op: str
    region: Region
    """Where; in the image as it is after the edits that were looked at."""
    can_change: frozenset[Aspect]
    """Which answers about the image as it was may be others now; empty where none can be."""
    added: str = ""
    removed: str = ""
    changed: str = ""
    is_known: bool = False
    """Whether the image certainly shows just that, so that a question on it has its answer from here."""

    @property
    def changes_answers(self) -> bool:
        """Whether an answer about the image as it was may no longer hold."""
        return bool(self.can_change)

    @property
    def text(self) -> str:
        """In words, for the agent that asks."""
        words = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return "; ".join(f"{verb} {what}" for verb, what in words if what)


def effect(op: LocalOp | EditOp, *, aspect_ratio: float = 1.0) -> Effect:
    """The effect of one edit, right after it.

    Args:
        op: the edit.
        aspect_ratio: width over height of the image that it is made on.
    """
    match op:
        case Crop(box=box):
            lost = "" if _region(box) == WHOLE else f"everything outside the part {_words(_region(box))}"
            aspects = frozenset({Aspect.COUNT, Aspect.TEXT, Aspect.POSITION, Aspect.SIZE, Aspect.CONTENT})
            return Effect(op.op, WHOLE, aspects if lost else frozenset(), removed=lost)
        case Resize(scale=scale):
            return Effect(op.op, WHOLE, frozenset(), changed=f"the number of pixels: each side is {scale:g} times as long")
        case ShiftHue(box=box, degrees=degrees):
            what = f"the hues {_words(_region(box))} by {degrees:g} degrees"
            return Effect(op.op, _region(box), frozenset({Aspect.COLOR, Aspect.COUNT}), changed=what)
        case ReplaceColor(box=box, old=old, new=new):
            what = f"what was {old} {_words(_region(box))}: it is {new}"
            return Effect(op.op, _region(box), frozenset({Aspect.COLOR, Aspect.COUNT}), changed=what, is_known=True)
        case Blur(box=box):
            aspects = frozenset({Aspect.TEXT, Aspect.COUNT, Aspect.CONTENT})
            return Effect(op.op, _region(box), aspects, removed=f"fine detail {_words(_region(box))}")
        case RotateQuarter(quarter_turns=turns):
            aspects = frozenset({Aspect.POSITION, Aspect.ORIENTATION})
            return Effect(op.op, WHOLE, aspects, changed=f"the whole image: turned clockwise by {90 * turns} degrees", is_known=True)
        case Tilt(degrees=degrees, fill=fill):
            what = f"the whole image: turned clockwise by {degrees:g} degrees, corners filled with {fill}"
            return Effect(op.op, WHOLE, frozenset({Aspect.ORIENTATION, Aspect.POSITION, Aspect.CONTENT, Aspect.COUNT}), changed=what)
        case PlaceText():
            return _text_effect(op, aspect_ratio)
        case PlaceShape():
            return _shape_effect(op, aspect_ratio)
        case Composite(box=box, mask=mask):
            frame = "in an ellipse " if mask == "ellipse" else ""
            aspects = frozenset({Aspect.COUNT, Aspect.COLOR, Aspect.TEXT, Aspect.POSITION, Aspect.CONTENT})
            where = _words(_region(box))
            return Effect(op.op, _region(box), aspects, added=f"a part of another image {frame}{where}", removed=f"what was {where}")
        case Diffusion(prompt=prompt):
            return Effect(op.op, WHOLE, frozenset(Aspect), changed=f"anything: a diffusion editor was asked for {prompt!r}")


def effects(ops: Sequence[LocalOp | EditOp], *, aspect_ratio: float = 1.0) -> tuple[Effect, ...]:
    """The effects of a list of edits, in the last image: places followed, and no longer known where a later edit touched them.

    Args:
        ops: the edits in their order.
        aspect_ratio: width over height of the image before them.
    """
    seen: list[Effect] = []
    ratio = aspect_ratio
    for op in ops:
        seen = [_after(one, op, ratio) for one in seen]
        seen.append(effect(op, aspect_ratio=ratio))
        ratio = _ratio_after(op, ratio)
    return tuple(seen)


def _text_effect(op: PlaceText, aspect_ratio: float) -> Effect:
    # A line of the built-in face is at most 0.95 of its height per character wide: "@".
    half_width, half_height = (0.95 * len(op.text) + 0.6) * op.height / aspect_ratio / 2, 0.8 * op.height
    region = _clipped((op.x - half_width, op.y - half_height, op.x + half_width, op.y + half_height))
    plate = f" on a {op.background} plate" if op.background else ""
    return Effect(
        op=op.op,
        region=region,
        can_change=frozenset({Aspect.TEXT, Aspect.COUNT, Aspect.CONTENT}),
        added=f'the text "{op.text}" in {op.color}{plate}, {_words(region)}',
        is_known=True,
    )


def _shape_effect(op: PlaceShape, aspect_ratio: float) -> Effect:
    half_x, half_y = op.size / 2 * min(1, 1 / aspect_ratio), op.size / 2 * min(1, aspect_ratio)
    left, top, right, bottom = extent_of(op.shape, rotation_deg=op.rotation_deg)
    region = _clipped((op.x + left * half_x, op.y + top * half_y, op.x + right * half_x, op.y + bottom * half_y))
    article = "an" if op.color == "orange" else "a"
    outline = f" with a {op.outline} outline" if op.outline else ""
    direction = _DIRECTIONS.get(round(op.rotation_deg)) if op.shape == "arrow" and op.rotation_deg == round(op.rotation_deg) else None
    pointing = f" that points {direction}" if direction else ""
    return Effect(
        op=op.op,
        region=region,
        can_change=frozenset({Aspect.COUNT, Aspect.COLOR, Aspect.CONTENT}),
        added=f"{article} {op.color} {op.shape}{outline}{pointing}, {_words(region)}",
        is_known=True,
    )


def _after(before: Effect, op: LocalOp | EditOp, ratio: float) -> Effect:
    """An earlier effect after one more edit on an image of that width over height."""
    match op:
        case Crop(box=box):
            return _moved(before, lambda x, y: ((x - box.x0) / (box.x1 - box.x0), (y - box.y0) / (box.y1 - box.y0)))
        case RotateQuarter(quarter_turns=turns):
            # "Upper left" would now name another place.
            return replace(_moved(before, _TURNED[turns - 1]), is_known=False)
        case Tilt(degrees=degrees):
            angle = math.radians(degrees)
            cosine, sine = math.cos(angle), math.sin(angle)

            def turned(x: float, y: float) -> tuple[float, float]:
                across, down = (x - 0.5) * ratio, y - 0.5
                return (across * cosine - down * sine) / ratio + 0.5, across * sine + down * cosine + 0.5

            return _moved(before, turned)
        case Resize(scale=scale):
            return before if scale >= _MIN_LEGIBLE_SCALE else replace(before, is_known=False)
        case Diffusion():
            return replace(before, is_known=False)
        case _:
            touched = effect(op, aspect_ratio=ratio).region
            return replace(before, is_known=False) if _overlap(before.region, touched) else before


_TURNED: tuple[Callable[[float, float], tuple[float, float]], ...] = (
    lambda x, y: (1 - y, x),
    lambda x, y: (1 - x, 1 - y),
    lambda x, y: (y, 1 - x),
)


def _moved(before: Effect, move: Callable[[float, float], tuple[float, float]]) -> Effect:
    """The effect with its place followed; known only where all of it is still in the image, in the same part of it."""
    left, top, right, bottom = before.region
    corners = [move(x, y) for x in (left, right) for y in (top, bottom)]
    moved = (min(x for x, _ in corners), min(y for _, y in corners), max(x for x, _ in corners), max(y for _, y in corners))
    is_inside = all(-1e-9 <= edge <= 1 + 1e-9 for edge in moved)
    is_same_place = before.region == WHOLE or _words(moved) == _words(before.region)
    return replace(before, region=_clipped(moved), is_known=before.is_known and is_inside and is_same_place)


def _ratio_after(op: LocalOp | EditOp, ratio: float) -> float:
    match op:
        case Crop(box=box):
            return ratio * (box.x1 - box.x0) / (box.y1 - box.y0)
        case RotateQuarter(quarter_turns=turns):
            return 1 / ratio if turns % 2 else ratio
        case _:
            return ratio


def _region(box: Box) -> Region:
    return box.x0, box.y0, box.x1, box.y1


def _clipped(region: Region) -> Region:
    left, top, right, bottom = (min(1.0, max(0.0, edge)) for edge in region)
    return left, top, right, bottom


def _overlap(first: Region, second: Region) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _place(x: float, y: float) -> str:
    """A point in words: thirds of the image."""
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    if across and down:
        return f"at the {down} {across}"
    return f"at the {across or down}" if across or down else "in the middle"


def _words(region: Region) -> str:
    if region == WHOLE:
        return "in the whole image"
    return _place((region[0] + region[2]) / 2, (region[1] + region[3]) / 2)
