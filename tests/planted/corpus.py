"""Distinct questions on distinct pictures, without end: what copies and leaks are planted among, and what must not be taken for one.

Four of ten are drawn scenes of 64 px with their own template questions, one of ten drawn scenes of 224 px, the others pictures of
`pictures.py` with questions of `questions.py`. Scenes and pictures are made of seeds; items of different seeds are distinct, but for
drawn scenes that happen to be described alike, which `scene` tells.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

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
