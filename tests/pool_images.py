"""Pictures that a program can read: coloured shapes on a textured ground whose hue tells the category.

Each is drawn from its seed. `tests/scripted_llm/sight.py` counts the shapes again from the pixels alone, also after scaling, re-encoding
and small edits, so that a scripted model can answer truthfully by looking.
"""

import colorsys
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from shared.artifacts import Artifacts
from shared.domain import ImageCategory
from shared.images.perceptual_hash import perceptual_hash
from shared.pool import PoolImage
from shared.pool.batches import commit_batch

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 0, 0),
    "yellow": (240, 230, 0),
    "green": (0, 170, 0),
    "cyan": (0, 210, 220),
    "blue": (0, 0, 230),
    "magenta": (230, 0, 220),
}
HUES: dict[ImageCategory, float] = {category: number / len(ImageCategory) for number, category in enumerate(ImageCategory)}
GROUND_SATURATION = 0.22
_GRID = 3
LICENCES = ("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0")


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows."""

    seed: int
    category: ImageCategory
    shapes: tuple[tuple[str, str], ...]
    """(form, colour) in reading order."""
    image: bytes
    caption: str
    licence: str
    domain: str
    page_url: str


def draw_picture(seed: int, category: ImageCategory, *, side_px: int = 256, caption: str | None = None) -> Picture:
    """A PNG with two to eight shapes that do not touch."""
    rng = Random(f"picture/{seed}/{category.value}")
    canvas = _ground(rng, HUES[category], side_px)
    pen = ImageDraw.Draw(canvas)
    places = rng.sample(range(_GRID * _GRID), rng.randint(2, 8))
    names = rng.sample(sorted(COLOURS), 3)
    shapes = []
    step = side_px / _GRID
    for place in sorted(places):
        form, colour = rng.choice(("disc", "box", "triangle")), rng.choice(names)
        radius = step * rng.uniform(0.24, 0.34)
        x = (place % _GRID + 0.5) * step + rng.uniform(-0.1, 0.1) * step
        y = (place // _GRID + 0.5) * step + rng.uniform(-0.1, 0.1) * step
        _draw(pen, form, x, y, radius, COLOURS[colour])
        shapes.append((form, colour))
    sink = io.BytesIO()
    canvas.save(sink, format="PNG", compress_level=1)
    words = ", ".join(f"{colour} {form}" for form, colour in shapes)
    domain = f"pictures{seed % 7}.example.org"
    return Picture(
        seed=seed,
        category=category,
        shapes=tuple(shapes),
        image=sink.getvalue(),
        caption=caption if caption is not None else f"{category.value.replace('_', ' ')} picture {seed}: {words}",
        licence=LICENCES[seed % len(LICENCES)],
        domain=domain,
        page_url=f"https://{domain}/{seed}",
    )


def draw_pictures(
    num_per_category: int, *, first_seed: int = 0, categories: tuple[ImageCategory, ...] = tuple(ImageCategory)
) -> list[Picture]:
    """So many pictures of each category, all different."""
    pictures = []
    for number in range(num_per_category):
        for place, category in enumerate(categories):
            pictures.append(draw_picture(first_seed + number * len(categories) + place, category))
    return pictures


def write_folder(pictures: list[Picture], folder: Path) -> None:
    """The pictures as files, each with its facts in a JSON file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        stem = folder / f"{picture.category.value}-{picture.seed:05d}"
        stem.with_suffix(".png").write_bytes(picture.image)
        facts = {"caption": picture.caption, "licence": picture.licence, "page_url": picture.page_url, "category": picture.category.value}
        stem.with_suffix(".json").write_text(json.dumps(facts))


def _ground(rng: Random, hue: float, side_px: int) -> Image.Image:
    """Light and shade in large patches, so that no two grounds hash alike, over a fine grain."""
    patches = np.array([[rng.uniform(0.45, 1.0) for _ in range(5)] for _ in range(5)], dtype=np.float32)
    field = Image.fromarray(patches).resize((side_px, side_px), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(rng.getrandbits(32)).uniform(-0.03, 0.03, (side_px, side_px))
    value = np.clip(np.asarray(field) + grain, 0.4, 1.0)
    tint = np.array(colorsys.hsv_to_rgb(hue, GROUND_SATURATION, 1.0))
    return Image.fromarray((value[..., None] * tint * 255).astype(np.uint8))


def _draw(pen: ImageDraw.ImageDraw, form: str, x: float, y: float, radius: float, fill: tuple[int, int, int]) -> None:
    if form == "disc":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    elif form == "box":
        pen.rectangle((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=fill)


async def fill_pool(artifacts: Artifacts, pictures: Sequence[Picture], *, is_labelled: bool = True) -> None:
    """Commits pictures to the pool as `spiral pool add` does; without labels nobody says a word of what they show."""
    images = []
    for picture in pictures:
        with Image.open(io.BytesIO(picture.image)) as opened:
            pixels = opened.convert("RGB")
        small = io.BytesIO()
        pixels.resize((128, 128), Image.Resampling.LANCZOS).save(small, format="JPEG", quality=90)
        image, thumbnail = await artifacts.put_bytes(picture.image), await artifacts.put_bytes(small.getvalue())
        images.append(
            PoolImage(
                image_sha256=image.sha256,
                image=image,
                thumbnail=thumbnail,
                width_px=pixels.width,
                height_px=pixels.height,
                source="pictures",
                licence=picture.licence,
                caption=picture.caption if is_labelled else "",
                category=picture.category if is_labelled else None,
                perceptual_hash=perceptual_hash(pixels),
                original_sha256=image.sha256,
                page_url=picture.page_url,
                domain=picture.domain,
                origin=f"{picture.seed}.png",
            )
        )
    await commit_batch(artifacts, images, [])
