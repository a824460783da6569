"""How often distinct drawn scenes are taken for duplicates, how often copies are found, and what fingerprints cost.

    PYTHONPATH=.:proto/gen python tests/bench/bench_duplicates.py [--scenes-per-cell 250] [--size 64] [--many 100000]

Scenes are distinct where their descriptions (objects and query) differ. A false positive is a scene that the index takes for an
earlier, distinct one of the same cell: every scene meets all earlier ones of its cell, as in a run. `other answer` counts those whose
answers differ, so that they are wrong beyond doubt. Recall is measured on copies of every scene of a sample, changed as
`tests/planted/copies.py` says, with the question written otherwise (capitals, British spelling, an added "please"). Siblings are the
hardest distinct pairs: plain scenes that differ in nothing but one character, one bar's height by one step, one dot's colour or the
clock's hand by one minute; they are compared with the same answer and with another one. Memory and time are those of `--many`
fingerprints of noise, each with a question of its own.
"""

import argparse
import math
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint, answer_words, fingerprint
from services.quality.firewall import Firewall, FirewallItem
from shared.domain import Candidate, QuestionType
from shared.images.decoding import DecodedImage
from tests.planted.copies import COPIES, encoded
from tests.planted.corpus import decoded
from tests.planted.pictures import opened

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


def seen_of(candidate: Candidate, image: bytes, question: str) -> tuple[Fingerprint, DecodedImage]:
    picture = decoded(image)
    return fingerprint(picture, question, candidate.cell.question_type, candidate.choices, candidate.answer), picture


def index_answer(candidate: Candidate) -> str:
    return answer_words(candidate.cell.question_type, candidate.choices, candidate.answer)


def scenes(num_per_cell: int, size: int) -> Iterator[list[Candidate]]:
    """For each cell, scenes of three difficulties, the repeated ones left out."""
    for cell in CELLS:
        made = [c for difficulty in (0.0, 0.5, 1.0) for c in make_candidates(cell, -(-num_per_cell // 3), 7, difficulty, size)]
        yield list({(c.scene, c.question): c for c in made}.values())


def reworded(question: str) -> str:
    return "Please: " + question.replace("color", "colour").replace("What is", "what  IS")


def measure_scenes(num_per_cell: int, size: int) -> None:
    num_scenes = num_found = num_other_answer = num_pairs = num_copied = 0
    found: Counter[str] = Counter()
    recalled: Counter[str] = Counter()
    lookup_s = 0.0
    for candidates in scenes(num_per_cell, size):
        index, by_id = FingerprintIndex(), {c.candidate_id: c for c in candidates}
        for candidate in candidates:
            mark, picture = seen_of(candidate, candidate.image, candidate.question)
            num_pairs += len(index)
            started = time.thread_time()
            other = index.near(mark, picture)
            lookup_s += time.thread_time() - started
            if other is not None:
                num_found += 1
                found[str(candidate.cell)] += 1
                num_other_answer += index_answer(by_id[other]) != index_answer(candidate)
            index.add(candidate.candidate_id, mark)
        num_scenes += len(candidates)
        for at, candidate in enumerate(candidates[:: max(1, len(candidates) // 40)]):
            image = opened(candidate.image)
            num_copied += 1
            for name, copy in COPIES.items():
                recalled[name] += (
                    index.near(*seen_of(candidate, copy(image, Random(f"{at}/{name}")), reworded(candidate.question))) is not None
                )
    print(f"{num_scenes} distinct scenes of {size} px in {len(CELLS)} cells, {num_pairs} pairs")
    print(f"  taken for a duplicate: {num_found} ({100 * num_found / num_scenes:.2f} %), with another answer: {num_other_answer}")
    print("  by cell:", dict(found) or "none")
    print(f"  lookup: {1e3 * lookup_s / num_scenes:.2f} ms of CPU time")
    print(f"copies of {num_copied} scenes found:")
    for name in COPIES:
        print(f"  {name:44s} {100 * recalled[name] / num_copied:6.1f} %")


def measure_siblings(size: int) -> None:
    print("siblings taken for duplicates, of 500, with another answer and with the same one:")
    for name, draw in SIBLINGS.items():
        num_taken = Counter[str]()
        for seed in range(500):
            first, second = (decoded(encoded(image)) for image in draw(Random(f"{name}/{seed}"), size))
            index = FingerprintIndex([("first", fingerprint(first, "What is it?", QuestionType.TEXT, (), "it"))])
            for answer in ("another", "it"):
                num_taken[answer] += index.near(fingerprint(second, "What is it?", QuestionType.TEXT, (), answer), second) is not None
        print(f"  {name:24s} {num_taken['another']:4d} {num_taken['it']:4d}")


def measure_cost(many: int) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (many, 8, 8, 3), dtype=np.uint8)

    def marks() -> Iterator[Fingerprint]:
        for at in range(many):
            cells = coarse[at].repeat(4, axis=0).repeat(4, axis=1).tobytes()
            words = tuple(f"w{at * 7 % (11 + word * 97)}" for word in range(9))
            yield Fingerprint(f"{at:064x}", words, str(at % 500), 64, cells)

    before = resident_bytes()
    index = FingerprintIndex((f"{at:064x}", mark) for at, mark in enumerate(marks()))
    each, image = (resident_bytes() - before) / many, index.num_image_bytes / many
    print(f"{many} fingerprints in an index: {each:,.0f} bytes each resident, {image:,.0f} of them for the image")
    print(f"  a million: {each / 1e3:,.2f} GB, extrapolated")
    asked = [mark for mark, _ in zip(marks(), range(200), strict=False)]
    told(index.near, asked, "looked up")
    del index
    before = resident_bytes()
    firewall = Firewall(FirewallItem("item", mark) for mark in marks())
    print(f"{len(firewall)} items in a firewall: {(resident_bytes() - before) / many:,.0f} bytes each resident")
    turned = (coarse[-at, ::-1, ::-1].repeat(4, axis=0).repeat(4, axis=1).tobytes() for at in range(50))
    told(firewall.leak, [Fingerprint("0" * 64, ("x",), "x", 64, cells) for cells in turned], "passed")


def told(look_up: Callable[[Fingerprint], object], marks: Sequence[Fingerprint], what: str) -> None:
    started = time.thread_time()
    for mark in marks:
        look_up(mark)
    print(f"  {1e3 * (time.thread_time() - started) / len(marks):.2f} ms of CPU time {what}")


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes-per-cell", type=int, default=250)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--many", type=int, default=100_000)
    options = parser.parse_args()
    measure_scenes(options.scenes_per_cell, options.size)
    measure_siblings(options.size)
    measure_cost(options.many)


if __name__ == "__main__":
    main()
