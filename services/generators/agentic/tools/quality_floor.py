"""The least that an image must show: enough pixels, not one colour, and something in focus."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.generators.agentic.tools.refusals import RefusalReason, Refused

_MEASURED_SIDE_PX = 512
_NUM_TILES = 4


@dataclass(frozen=True, slots=True)
class QualityFloor:
    """Thresholds."""

    min_side_px: int = 224
    """The shorter side. Below it the vision models' patches are scaled up and details are gone."""
    min_contrast: float = 4.0
    """Standard deviation of brightness, of 255. A page with one line a pixel wide has 11, photographs have 25 to 80."""
    min_sharpness: float = 25.0
    """See `sharpness_of`. Photographs in focus were measured at 2,300 and more; a Gaussian blur of 2 px leaves 20 to 55 of it, one of 3 px
    no more than 10."""


def check_quality(image: Image.Image, floor: QualityFloor) -> None:
    """Raises Refused where an image shows less than the floor."""
    if min(image.size) < floor.min_side_px:
        detail = f"{image.width}×{image.height} px: the shorter side has less than {floor.min_side_px} px"
        raise Refused(RefusalReason.TOO_SMALL, detail)
    luma = brightness_of(image)
    contrast = float(luma.std())
    if contrast < floor.min_contrast:
        raise Refused(RefusalReason.BLANK, f"nearly one colour: brightness varies by {contrast:.1f} of 255")
    sharpness = sharpness_of(luma)
    if sharpness < floor.min_sharpness:
        raise Refused(
            RefusalReason.BLURRED, f"nothing is in focus: a sharpness of {sharpness:.0f}, at least {floor.min_sharpness:.0f} is needed"
        )


def brightness_of(image: Image.Image) -> npt.NDArray[np.float32]:
    """Luma from 0 to 255, the shorter side at most 512 px, so that thresholds do not hang on how large an image is kept."""
    luma = image.convert("L")
    scale = _MEASURED_SIDE_PX / min(luma.size)
    if scale < 1:
        size = (max(1, round(luma.width * scale)), max(1, round(luma.height * scale)))
        luma = luma.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(luma, dtype=np.float32)


def sharpness_of(luma: npt.NDArray[np.float32]) -> float:
    """The variance of the Laplacian in the sharpest of 4 × 4 tiles: an image with a soft background is sharp where its subject is."""
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    tiles = (tile for rows in np.array_split(laplacian, _NUM_TILES) for tile in np.array_split(rows, _NUM_TILES, axis=1))
    return max((float(tile.var()) for tile in tiles if tile.size), default=0.0)
