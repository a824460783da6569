"""Distinct questions on distinct pictures, without end: what copies and leaks are planted among, and what must not be taken for one.

Four of ten are drawn scenes of 64 px with their own template questions, one of ten drawn scenes of 224 px, the others pictures of
`pictures.py` with questions of `questions.py`. Scenes and pictures are made of seeds; items of different seeds are distinct, but for
drawn scenes that happen to be described alike, which `scene` tells.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from PIL import Image

from services.generators.rendered.candidates import CELLS, make_candidate
from services.quality.fingerprints import Fingerprint, fingerprint
from shared.domain import QuestionType
from shared.images.decoding import DecodedImage, decode_image
from tests.planted.copies import encoded
from tests.planted.pictures import FAMILIES, draw
from tests.planted.questions import ask

MAX_BYTES, MAX_PIXELS = 64_000_000, 64_000_000
DRAWN = {"drawn 64": 64, "drawn 224": 224}
_SHARES = {"drawn 64": 0.4, "drawn 224": 0.1} | dict.fromkeys(FAMILIES, 0.5 / len(FAMILIES))


@dataclass(frozen=True, slots=True)
class Item:
    """A question on a picture. `scene` is empty where it is no drawn one."""

    family: str
    image: bytes
    question: str
    question_type: QuestionType
    choices: tuple[str, ...]
    answer: str
    scene: str = ""


def item(family: str, number: int, seed: str) -> Item:
    """The item of a family and seed with that number."""
    if family in DRAWN:
        cell, index = CELLS[number % len(CELLS)], number // len(CELLS)
        made = make_candidate(cell, index, Random(f"{seed}/{family}").getrandbits(31), (index % 3) / 2, DRAWN[family])
        return Item(family, made.image, made.question, cell.question_type, made.choices, made.answer, made.scene)
    asked = ask(number, seed=f"{seed}/{family}")
    image = encoded(draw(family, f"{seed}/{number}"), "JPEG", quality=92)
    return Item(family, image, asked.question, asked.question_type, asked.choices, asked.answer)


def items(num: int, seed: str) -> Iterator[Item]:
    """So many items in about their shares, mixed; the same ones whenever they are asked for."""
    rng, counts = Random(f"corpus/{seed}"), dict.fromkeys(_SHARES, 0)
    for family in rng.choices(list(_SHARES), list(_SHARES.values()), k=num):
        yield item(family, counts[family], seed)
        counts[family] += 1


def distinct_items(num: int, seed: str, scenes: Iterable[str] = ()) -> Iterator[Item]:
    """So many items of which no two are drawn scenes of one description, nor any of a description among `scenes`."""
    seen = set(scenes)
    for made in items(4 * num, seed):
        if not num:
            return
        if made.scene not in seen:
            yield made
            seen.update([made.scene] if made.scene else [])
            num -= 1


def folder_items(folder: Path) -> Iterator[Item]:
    """The pictures of a folder and those below it, on white, each once; large ones are cut into nine, which are distinct pictures."""
    for number, path in enumerate(_one_of_each_size(folder)):
        picture = Image.open(path).convert("RGBA")
        picture.thumbnail((1536, 1536))
        image = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        wide, tall = image.width // 3, image.height // 3
        boxes = [(x * wide, y * tall, (x + 1) * wide, (y + 1) * tall) for y in range(3) for x in range(3)]
        for at, part in enumerate([image.crop(box) for box in boxes] if min(image.size) >= 800 else [image]):
            asked = ask(9 * number + at, seed="folder")
            made = encoded(part, "JPEG", quality=92)
            yield Item("folder", made, asked.question, asked.question_type, asked.choices, asked.answer)


def _one_of_each_size(folder: Path) -> list[Path]:
    """Wallpapers come in folders of files that are called by their size and show the same: the largest file of each stands for all."""
    pictures = [
        path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.stat().st_size > 4000
    ]
    sized = re.compile(r"\d+x\d+")
    best: dict[Path, Path] = {}
    for path in pictures:
        key = path.parent if sized.fullmatch(path.stem) else path
        best[key] = max(path, best.get(key, path), key=lambda each: each.stat().st_size)
    return [path for path in best.values() if not path.is_symlink()]


def decoded(image: bytes) -> DecodedImage:
    return decode_image(image, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)


def marked(
    made: Item, image: bytes | None = None, question: str | None = None, answer: str | None = None
) -> tuple[Fingerprint, DecodedImage]:
    """An item's fingerprint and picture, or those of a copy of it."""
    picture = decoded(made.image if image is None else image)
    words, told = made.question if question is None else question, made.answer if answer is None else answer
    return fingerprint(picture, words, made.question_type, made.choices if answer is None else (), told), picture


@cache
def other_question(family: str, number: int) -> Item:
    """A question and answer that have nothing to do with an item's own."""
    asked = ask(number, seed=f"unrelated/{family}")
    return Item(family, b"", asked.question, asked.question_type, asked.choices, f"none of {number}")
