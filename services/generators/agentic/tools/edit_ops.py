"""The edits that can be made, as a checked list: whatever is not written here can't be asked for, nor beyond these bounds.

Positions are shares of the image as it is when the edit's turn comes: x to the right, y downwards, from 0 to 1.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.generators.agentic.tools.colors import PALETTE, ColorName, luma_difference

MAX_EDITS = 12
MIN_BOX_SIDE = 0.02
MIN_TEXT_CONTRAST = 60.0
"""Between text and what lies under it, see `luma_difference`."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ShapeName = Literal["circle", "square", "rectangle", "triangle", "pentagon", "hexagon", "star", "arrow", "cross"]

TEXT_CHARACTERS = frozenset(map(chr, range(0x20, 0x7F))) | frozenset("°±‘’“”…™©«»")
"""What Pillow's built-in face can draw; any other character would come out as a box."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Box(_Strict):
    """A rectangle."""

    x0: Share
    y0: Share
    x1: Share
    y1: Share

    @model_validator(mode="after")
    def _has_an_area(self) -> Self:
        if self.x1 - self.x0 < MIN_BOX_SIDE or self.y1 - self.y0 < MIN_BOX_SIDE:
            raise ValueError(f"a box needs x0 + {MIN_BOX_SIDE} <= x1 and y0 + {MIN_BOX_SIDE} <= y1")
        return self


class Crop(_Strict):
    """Keeps a rectangle."""

    op: Literal["crop"]
    box: Box


class Resize(_Strict):
    """Scales both sides alike."""

    op: Literal["resize"]
    scale: Annotated[float, Field(ge=0.1, le=4)]


class ShiftHue(_Strict):
    """Turns every hue within a rectangle; grays stay as they are."""

    op: Literal["shift_hue"]
    box: Box
    degrees: Annotated[float, Field(ge=-180, le=180)]


class ReplaceColor(_Strict):
    """Paints what has one named colour within a rectangle in another; the shading stays."""

    op: Literal["replace_color"]
    box: Box
    old: ColorName
    new: ColorName

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.old == self.new:
            raise ValueError(f"replacing {self.old} by {self.new} changes nothing")
        return self


class Blur(_Strict):
    """Blurs a rectangle."""

    op: Literal["blur"]
    box: Box
    radius: Annotated[float, Field(ge=0.002, le=0.1)]
    """Standard deviation as a share of the image's shorter side."""


class RotateQuarter(_Strict):
    """Turns the image clockwise by right angles."""

    op: Literal["rotate_quarter"]
    quarter_turns: Annotated[int, Field(ge=1, le=3)]


class Tilt(_Strict):
    """Turns the image clockwise by a small angle; the size stays, and the corners that come free are filled."""

    op: Literal["tilt"]
    degrees: Annotated[float, Field(ge=-20, le=20)]
    fill: ColorName


class PlaceText(_Strict):
    """Writes one line, centred on a point."""

    op: Literal["place_text"]
    x: Share
    y: Share
    text: Annotated[str, Field(min_length=1, max_length=60)]
    height: Annotated[float, Field(ge=0.02, le=0.4)]
    """Font size as a share of the image's height."""
    color: ColorName
    background: ColorName | None = None
    """Of a plate under the text; none where None."""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        strange = sorted(set(self.text) - TEXT_CHARACTERS)
        if strange or self.text != " ".join(self.text.split()):
            raise ValueError(f"text of single spaces and known characters only, not {''.join(strange) or self.text!r}")
        if self.background and luma_difference(PALETTE[self.color], PALETTE[self.background]) < MIN_TEXT_CONTRAST:
            raise ValueError(f"{self.color} text on a {self.background} plate can't be read: one must be much brighter")
        return self


class PlaceShape(_Strict):
    """Places a filled shape, centred on a point."""

    op: Literal["place_shape"]
    shape: ShapeName
    x: Share
    y: Share
    size: Annotated[float, Field(ge=0.02, le=0.8)]
    """Its longer side as a share of the image's shorter side."""
    color: ColorName
    outline: ColorName | None = None
    rotation_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0
    """Clockwise. An arrow points to the right at 0."""

    @model_validator(mode="after")
    def _has_two_colors(self) -> Self:
        if self.color == self.outline:
            raise ValueError(f"a {self.color} outline of a {self.color} shape can't be seen")
        return self


class Composite(_Strict):
    """Puts a part of another stored image into a rectangle."""

    op: Literal["composite"]
    source_sha256: Digest
    source_box: Box
    """In the other image."""
    box: Box
    mask: Literal["box", "ellipse"]
    """What of the rectangle is covered."""


class Diffusion(_Strict):
    """What a diffusion editor made of the whole image; replaying reads its stored result and calls nobody."""

    op: Literal["diffusion"]
    prompt: Annotated[str, Field(min_length=1, max_length=2000)]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    result_sha256: Digest


LocalOp = Annotated[
    Crop | Resize | ShiftHue | ReplaceColor | Blur | RotateQuarter | Tilt | PlaceText | PlaceShape | Composite, Field(discriminator="op")
]
"""What an agent may ask for: exact and made here."""
EditOp = Annotated[
    Crop | Resize | ShiftHue | ReplaceColor | Blur | RotateQuarter | Tilt | PlaceText | PlaceShape | Composite | Diffusion,
    Field(discriminator="op"),
]
"""What provenance records."""

OpName = Literal[
    "crop",
    "resize",
    "shift_hue",
    "replace_color",
    "blur",
    "rotate_quarter",
    "tilt",
    "place_text",
    "place_shape",
    "composite",
    "diffusion",
]
