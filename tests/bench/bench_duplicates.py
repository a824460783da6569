"""How often distinct drawn scenes are taken for duplicates, and how often copies are found.

    PYTHONPATH=.:proto/gen python tests/bench/bench_duplicates.py [--scenes-per-cell 250] [--size 64]

Scenes are distinct where their descriptions (objects and query) differ. A false positive is a scene that the index takes for an
earlier, distinct one of the same cell: every scene meets all earlier ones of its cell, as in a run. `other answer` counts those whose
answers differ, so that they are wrong beyond doubt. Recall is measured on copies of every scene of a sample, re-encoded and rescaled,
with the question written otherwise (capitals, British spelling, an added "please"). Siblings are the hardest distinct pairs: plain
scenes that differ in nothing but one character, one bar's height by one step, one dot's colour or the clock's hand by one minute.
"""

import argparse
import io
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from PIL import Image, ImageDraw, ImageFont

from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint, fingerprint
from shared.domain import Candidate, QuestionType
from shared.images.decoding import decode_image

Transform = Callable[[Image.Image], bytes]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def scaled(image: Image.Image, factor: float, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), resampling)


COPIES: dict[str, Transform] = {
    "PNG again": lambda i: encoded(i, "PNG"),
    "PNG of 64 colours": lambda i: encoded(i.quantize(64), "PNG"),
    "JPEG 95": lambda i: encoded(i, "JPEG", quality=95),
    "JPEG 75": lambda i: encoded(i, "JPEG", quality=75),
    "JPEG 50": lambda i: encoded(i, "JPEG", quality=50),
    "JPEG 30": lambda i: encoded(i, "JPEG", quality=30),
    "WEBP 80": lambda i: encoded(i, "WEBP", quality=80),
    "WEBP 50": lambda i: encoded(i, "WEBP", quality=50),
    "x2": lambda i: encoded(scaled(i, 2), "PNG"),
    "x2 nearest": lambda i: encoded(scaled(i, 2, Image.Resampling.NEAREST), "PNG"),
    "x1.5 bilinear, JPEG 75": lambda i: encoded(scaled(i, 1.5, Image.Resampling.BILINEAR), "JPEG", quality=75),
    "x0.9": lambda i: encoded(scaled(i, 0.9), "PNG"),
    "x0.75": lambda i: encoded(scaled(i, 0.75), "PNG"),
    "x0.5": lambda i: encoded(scaled(i, 0.5), "PNG"),
    "x0.5, JPEG 75": lambda i: encoded(scaled(i, 0.5), "JPEG", quality=75),
}


CHARACTERS = "ABCDEFGHKLMNPRSTUVXYZ0123456789"
COLORS = ((215, 40, 40), (45, 90, 220), (40, 160, 60), (240, 205, 30), (150, 55, 185), (240, 125, 25), (245, 150, 190), (125, 75, 40))


def text_siblings(rng: Random, size: int) -> Iterator[Image.Image]:
    text = rng.choices(CHARACTERS, k=12)
    at = rng.randrange(12)
    for character in rng.sample(CHARACTERS, 2):
        image = Image.new("RGB", (size, size), "white")
        text[at] = character
        for line in range(3):
            font = ImageFont.load_default(size / 5.5)
            ImageDraw.Draw(image).text((4, 4 + line * size / 3.2), "".join(text[4 * line : 4 * line + 4]), fill="black", font=font)
        yield image


def bar_siblings(rng: Random, size: int) -> Iterator[Image.Image]:
    values, colors, at, value = [rng.randint(1, 9) for _ in range(4)], rng.sample(COLORS, 4), rng.randrange(4), rng.randint(1, 8)
    for height in (value, value + 1):
        image = Image.new("RGB", (size, size), "white")
        values[at] = height
        for bar, (steps, color) in enumerate(zip(values, colors, strict=True)):
            left, top = bar * size / 4 + 2, size - 3 - steps * (size - 8) / 9
            ImageDraw.Draw(image).rectangle((left, top, left + size / 4 - 5, size - 3), fill=color)
        yield image


def dot_siblings(rng: Random, size: int) -> Iterator[Image.Image]:
    colors, at, step = rng.choices(COLORS, k=25), rng.randrange(25), size / 5
    for color in rng.sample(COLORS, 2):
        image = Image.new("RGB", (size, size), "white")
        colors[at] = color
        for dot, fill in enumerate(colors):
            x, y = dot % 5 * step, dot // 5 * step
            ImageDraw.Draw(image).ellipse((x + step / 5, y + step / 5, x + step * 4 / 5, y + step * 4 / 5), fill=fill)
        yield image


def clock_siblings(rng: Random, size: int) -> Iterator[Image.Image]:
    hour, minute = rng.randrange(12), rng.randrange(60)
    for shown in (minute, minute + 1):
        image = Image.new("RGB", (size, size), "white")
        pen = ImageDraw.Draw(image)
        pen.ellipse((4, 4, size - 5, size - 5), outline="black", width=max(1, size // 32))
        for share, length, width in ((hour / 12, 0.25, size // 20), (shown / 60, 0.4, size // 32)):
            x, y = math.sin(share * math.tau), -math.cos(share * math.tau)
            pen.line((size / 2, size / 2, size / 2 + length * size * x, size / 2 + length * size * y), fill="black", width=max(1, width))
        yield image


SIBLINGS = {"character": text_siblings, "bar": bar_siblings, "dot": dot_siblings, "clock": clock_siblings}


def sibling_fingerprint(image: Image.Image) -> Fingerprint:
    decoded = decode_image(encoded(image, "PNG"), max_bytes=8_000_000, max_pixels=4_194_304)
    return fingerprint(decoded, "What is it?", QuestionType.TEXT, (), "it")


def fingerprint_of(candidate: Candidate, image: bytes, question: str) -> Fingerprint:
    decoded = decode_image(image, max_bytes=8_000_000, max_pixels=4_194_304)
    return fingerprint(decoded, question, candidate.cell.question_type, candidate.choices, candidate.answer)


def scenes(num_per_cell: int, size: int) -> Iterator[list[Candidate]]:
    """For each cell, scenes of three difficulties, the repeated ones left out."""
    for cell in CELLS:
        made = [c for difficulty in (0.0, 0.5, 1.0) for c in make_candidates(cell, -(-num_per_cell // 3), 7, difficulty, size)]
        yield list({(c.scene, c.question): c for c in made}.values())


def reworded(question: str) -> str:
    return "Please: " + question.replace("color", "colour").replace("What is", "what  IS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes-per-cell", type=int, default=250)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    num_scenes = num_found = num_other_answer = num_pairs = 0
    found: Counter[str] = Counter()
    recalled: Counter[str] = Counter()
    num_copied, lookup_s = 0, 0.0
    for candidates in scenes(options.scenes_per_cell, options.size):
        index, by_id = FingerprintIndex(), {c.candidate_id: c for c in candidates}
        for candidate in candidates:
            mark = fingerprint_of(candidate, candidate.image, candidate.question)
            num_pairs += len(index)
            started = time.perf_counter()
            other = index.near(mark)
            lookup_s += time.perf_counter() - started
            if other is not None:
                num_found += 1
                found[str(candidate.cell)] += 1
                num_other_answer += by_id[other].answer != candidate.answer or by_id[other].choices != candidate.choices
            index.add(candidate.candidate_id, mark)
        num_scenes += len(candidates)
        for candidate in candidates[:: max(1, len(candidates) // 40)]:
            image = Image.open(io.BytesIO(candidate.image)).convert("RGB")
            num_copied += 1
            for name, copy in COPIES.items():
                recalled[name] += index.near(fingerprint_of(candidate, copy(image), reworded(candidate.question))) is not None
    rate = num_found / num_scenes
    print(f"{num_scenes} distinct scenes of {options.size} px in {len(CELLS)} cells, {num_pairs} pairs")
    print(f"  taken for a duplicate: {num_found} ({100 * rate:.2f} %), with another answer: {num_other_answer}")
    print("  by cell:", dict(found) or "none")
    print(f"  lookup: {1e3 * lookup_s / num_scenes:.2f} ms")
    print(f"copies of {num_copied} scenes found:")
    for name in COPIES:
        print(f"  {name:24s} {100 * recalled[name] / num_copied:6.1f} %")
    print("siblings taken for duplicates, of 500:")
    for name, draw in SIBLINGS.items():
        marks = [[sibling_fingerprint(image) for image in draw(Random(f"{name}/{seed}"), options.size)] for seed in range(500)]
        num_taken = sum(FingerprintIndex([("first", first)]).near(second) is not None for first, second in marks)
        print(f"  {name:24s} {num_taken}")


if __name__ == "__main__":
    main()
