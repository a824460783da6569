"""From a source to the image that is asked about: brought to size, edited, and always to be made again from its source and its edits."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.generators.agentic.source import Source
from services.generators.agentic.tools.edit_ops import Diffusion, EditOp, Resize
from services.generators.agentic.tools.edit_pixels import MIN_SIDE_PX
from services.generators.agentic.tools.edits import apply_edits, needed_sources, recorded
from services.generators.agentic.tools.rasters import read_raster, write_png
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef
from shared.errors import NotFound
from shared.images.headers import read_header

_MIN_SCALE = 0.1
"""Of one `Resize`; a larger step is made of several."""


@dataclass(frozen=True, slots=True)
class Print:
    """An image that may be asked about."""

    image: bytes
    width_px: int
    height_px: int
    ops: tuple[EditOp, ...] = ()
    sources: Mapping[str, ArtifactRef] = field(default_factory=dict)
    """Images besides the source that its edits read: digest to stored file."""

    @property
    def edits(self) -> list[dict[str, Any]]:
        """As provenance keeps them."""
        return recorded(self.ops)


class Darkroom:
    """Makes prints; pixels are worked on in threads."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def develop(self, source: Source, image_size_px: int) -> Print:
        """The source at most `image_size_px` long, unless its other side would become too short to show anything.

        Raises:
            NotFound: the source does not stand in the store.
            ImageRefused: it does not decode.
        """
        return await self.edit(source, to_size(source.width_px, source.height_px, image_size_px))

    async def edit(self, source: Source, ops: Sequence[EditOp], others: Mapping[str, ArtifactRef] | None = None) -> Print:
        """The source with edits made.

        Raises:
            EditRefused: an edit would not have the effect that it states.
            NotFound: an image that is read is none of `others`, or does not stand in the store.
            ImageRefused: one does not decode.
        """
        payload = await self._artifacts.read_bytes(source.image)
        if not ops:
            return Print(payload, source.width_px, source.height_px)
        refs = {digest: _named(digest, others or {}) for digest in sorted(needed_sources(ops))}
        read = {digest: await self._artifacts.read_bytes(ref) for digest, ref in refs.items()}
        image, width_px, height_px = await asyncio.to_thread(_made, payload, ops, read)
        return Print(image, width_px, height_px, tuple(ops), refs)

    async def keep_diffusion(self, result: bytes, prompt: str, *, model: str, seed: int) -> tuple[Diffusion, ArtifactRef, tuple[int, int]]:
        """What a diffusion editor returned, re-encoded and stored; with it the edit that names it, and its width and height.

        Raises:
            ImageRefused: it is no image within the caps.
        """
        payload, size = await asyncio.to_thread(_re_encoded, result)
        ref = await self._artifacts.put_bytes(payload)
        return Diffusion(op="diffusion", prompt=prompt, model=model, seed=seed, result_sha256=ref.sha256), ref, size


def to_size(width_px: int, height_px: int, image_size_px: int) -> list[EditOp]:
    """The edits that bring an image's longer side to a size, where it is longer and the other one stays long enough."""
    scale = max(image_size_px / max(width_px, height_px), min(1.0, MIN_SIDE_PX / min(width_px, height_px)))
    steps: list[EditOp] = []
    while scale < 1:
        step = max(scale, _MIN_SCALE)
        steps.append(Resize(op="resize", scale=step))
        scale = scale / step if step > scale else 1.0
    return steps


def _named(digest: str, others: Mapping[str, ArtifactRef]) -> ArtifactRef:
    if digest not in others:
        raise NotFound(f"an edit names the image {digest}, which was not offered")
    return others[digest]


def _made(payload: bytes, ops: Sequence[EditOp], read: Mapping[str, bytes]) -> tuple[bytes, int, int]:
    image = apply_edits(payload, ops, read_source=read.__getitem__)
    header = read_header(image)
    return image, header.width_px, header.height_px


def _re_encoded(payload: bytes) -> tuple[bytes, tuple[int, int]]:
    raster = read_raster(payload)
    return write_png(raster), raster.size
