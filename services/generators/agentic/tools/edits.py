"""Making edits and making them again: from the same image and the same list the same bytes follow.

PNG bytes depend on Pillow's version, through its text drawing and its compression; `EDITOR` names it, for the provenance.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import PIL
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from services.generators.agentic.tools import edit_pixels as pixels
from services.generators.agentic.tools.edit_effects import Aspect, Effect, effect, effects
from services.generators.agentic.tools.edit_ops import (
    MAX_EDITS,
    Blur,
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
from services.generators.agentic.tools.edit_pixels import EditRefused
from services.generators.agentic.tools.rasters import read_raster, write_png
from shared.errors import DigestMismatch, Rejected

__all__ = [
    "EDITOR",
    "MAX_EDITS",
    "Aspect",
    "EditOp",
    "EditRefused",
    "Effect",
    "LocalOp",
    "ReadSource",
    "apply_edits",
    "effect",
    "effects",
    "needed_sources",
    "read_edits",
    "recorded",
    "replay",
]

EDITOR = f"spiral-edits/1 pillow/{PIL.__version__}"

ReadSource = Callable[[str], bytes]
"""The stored image of a hex SHA-256. Raises NotFound where none stands."""

_LISTS: TypeAdapter[list[EditOp]] = TypeAdapter(list[EditOp])


def apply_edits(image: bytes, ops: Sequence[LocalOp | EditOp], *, read_source: ReadSource) -> bytes:
    """The edited image, as PNG.

    Args:
        image: PNG, JPEG or WEBP.
        ops: at most `MAX_EDITS`, made in their order; none re-encodes the image.
        read_source: gives the images that the edits name by digest, see `needed_sources`.

    Raises:
        EditRefused: an edit's effect on this image would not be what it states; the text says what to change.
        ImageRefused: the image or a named one does not decode, or has too many pixels.
        DigestMismatch: `read_source` gave other bytes than were named.
    """
    if len(ops) > MAX_EDITS:
        raise EditRefused(f"{len(ops)} edits are more than the cap of {MAX_EDITS}")
    raster = read_raster(image)
    for op in ops:
        raster = _edited(raster, op, read_source)
    return write_png(raster)


def needed_sources(ops: Sequence[LocalOp | EditOp]) -> frozenset[str]:
    """Hex digests of the images that a list of edits reads."""
    pasted = {op.source_sha256 for op in ops if isinstance(op, Composite)}
    return frozenset(pasted | {op.result_sha256 for op in ops if isinstance(op, Diffusion)})


def recorded(ops: Sequence[LocalOp | EditOp]) -> list[dict[str, Any]]:
    """The edits as provenance keeps them: JSON values that `read_edits` takes back."""
    return [op.model_dump(mode="json") for op in ops]


def read_edits(edits: Sequence[Mapping[str, Any]]) -> list[EditOp]:
    """The edits of a provenance.

    Raises:
        Rejected: they are none that could have been made.
    """
    try:
        return _LISTS.validate_python(list(edits))
    except ValidationError as error:
        raise Rejected(f"these are no edits: {error}") from error


def replay(image: bytes, edits: Sequence[Mapping[str, Any]], *, read_source: ReadSource) -> bytes:
    """What `apply_edits` made once, from the edits of a provenance. Raises what `read_edits` and `apply_edits` raise."""
    return apply_edits(image, read_edits(edits), read_source=read_source)


def _edited(image: Image.Image, op: LocalOp | EditOp, read_source: ReadSource) -> Image.Image:
    match op:
        case Crop():
            return pixels.crop(image, op)
        case Resize():
            return pixels.resize(image, op)
        case ShiftHue():
            return pixels.shift_hue(image, op)
        case ReplaceColor():
            return pixels.replace_color(image, op)
        case Blur():
            return pixels.blur(image, op)
        case RotateQuarter():
            return pixels.rotate_quarter(image, op)
        case Tilt():
            return pixels.tilt(image, op)
        case PlaceText():
            return pixels.place_text(image, op)
        case PlaceShape():
            return pixels.place_shape(image, op)
        case Composite(source_sha256=digest):
            return pixels.composite(image, _read(digest, read_source), op)
        case Diffusion(result_sha256=digest):
            return _read(digest, read_source)


def _read(digest: str, read_source: ReadSource) -> Image.Image:
    payload = read_source(digest)
    found = hashlib.sha256(payload).hexdigest()
    if found != digest:
        raise DigestMismatch(f"the image {digest} has SHA-256 {found}: it was corrupted or replaced")
    return read_raster(payload)
