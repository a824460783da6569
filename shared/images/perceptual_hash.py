"""A 64-bit hash of what an image looks like: re-encoded and resized copies differ in few bits, other images in about half of them.

The luma is scaled down to 32 × 32 and transformed by a discrete cosine transform; the hash holds the signs of the 64 lowest
frequencies but the constant one (as pHash: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, with signs
in place of the comparison with the median). Brightness and contrast so drop out, and mirroring an image from left to right flips exactly
the bits of the odd horizontal frequencies: a mirrored copy is found by a second look at the same hashes.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

NUM_BITS = 64
NEAR_BITS = 4
"""Of copies that were re-encoded (JPEG of quality 30 and better) or resized (down to a quarter), about 99 in 100 differ in no more."""

_GRID = 32
_REACH = 11
_SILENCE = 1e-3
"""A weaker frequency is none: what rounding leaves of it must not decide a bit."""

Hashes = npt.NDArray[np.uint64]


def _frequencies() -> list[tuple[int, int]]:
    """(vertical, horizontal) half waves of the 64 lowest frequencies, lowest first."""
    every = [(v, h) for v in range(_REACH) for h in range(_REACH) if v or h]
    return sorted(every, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[:NUM_BITS]


_CHOSEN = _frequencies()
_ROWS, _COLUMNS = (np.array(axis) for axis in zip(*_CHOSEN, strict=True))
_COSINES = np.cos(np.pi * np.outer(np.arange(_REACH), 2 * np.arange(_GRID) + 1) / (2 * _GRID)) / _GRID
_WEIGHTS = np.uint64(1) << np.arange(NUM_BITS, dtype=np.uint64)
_MIRRORED = sum(1 << bit for bit, (_, horizontal) in enumerate(_CHOSEN) if horizontal % 2)


def perceptual_hash(image: Image.Image | npt.NDArray[np.uint8]) -> int:
    """The hash of an image of any mode that Pillow turns to luma, or of its luma as height × width. An image of one colour has 0."""
    luma = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    if luma.mode != "L":
        luma = luma.convert("L")
    grid = np.asarray(luma.resize((_GRID, _GRID), Image.Resampling.BILINEAR, reducing_gap=4.0), dtype=np.float64)
    waves = _COSINES @ grid @ _COSINES.T
    return int(_WEIGHTS[waves[_ROWS, _COLUMNS] > _SILENCE].sum())


def mirrored_hash(perceptual: int) -> int:
    """The hash that the image has when it is mirrored from left to right, to within the bits that have no clear sign."""
    return perceptual ^ _MIRRORED


def hamming(first: int, second: int) -> int:
    """In how many of the 64 bits two hashes differ."""
    return (first ^ second).bit_count()


def hamming_to_all(perceptual: int, hashes: Hashes) -> npt.NDArray[np.uint8]:
    """In how many bits a hash differs from each of many."""
    differing: npt.NDArray[np.uint8] = np.bitwise_count(hashes ^ np.uint64(perceptual))
    return differing
