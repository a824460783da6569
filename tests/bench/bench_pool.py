"""How fast images come into the pool and out of it: decoding, hashing, taking in, a whole add, and searches among many rows.

    PYTHONPATH=.:proto/gen python -m tests.bench.bench_pool [--images 200] [--add 1500] [--rows 100000]

Images are 512 × 512 and look like photos to an encoder: structure at all scales, and grain; drawn ones are the rendered generator's.
Per-image figures are one process's processor time, the best of three rounds, so that other work on the machine counts little. `hash` is
all that a hash needs of a file: checks, decoding (JPEG at a quarter of its size), turning it upright, hashing. `draft hash` trusts the
file. `take in` adds full decoding, the re-encoded image and its thumbnail. A whole add runs `spiral pool add` with a decoder for each
core over files on this disk into a store on this disk; its processor time counts every process of it. Rows of the search part have
synthetic captions of twelve words by Zipf's law, and no blobs.
"""

import argparse
import asyncio
import io
import itertools
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from services.generators.rendered.candidates import CELLS, make_candidates
from shared.artifacts import Artifacts, blob_ref
from shared.domain import ImageCategory
from shared.images.intake import IntakeCaps, hash_of, take_in
from shared.images.perceptual_hash import perceptual_hash
from shared.pool import Pool, PoolImage
from shared.pool.batches import commit_batch
from shared.store_directory import DirectoryStore
from tests.unit.pool.pictures import encoded, photo

SIZE = 512
GRAIN = 5.0
NUM_ROUNDS = 3
FORMS = {
    "JPEG 85": lambda image: encoded(image, "JPEG", quality=85),
    "WEBP 80": lambda image: encoded(image, "WEBP", quality=80),
    "PNG": lambda image: encoded(image, "PNG", compress_level=6),
}
CAPS = IntakeCaps()


def photos(num: int) -> Iterator[Image.Image]:
    """Distinct photos: blends of a few dozen that were made anew."""
    rng = np.random.default_rng(1)
    base = [photo(seed, SIZE) for seed in range(min(num, 40))]
    for number in range(num):
        first, second = base[number % len(base)], base[int(rng.integers(len(base)))]
        mixed = Image.blend(first, second.transpose(Image.Transpose(int(rng.integers(7)))), float(rng.uniform(0.1, 0.6)))
        grain = rng.standard_normal((SIZE, SIZE, 1), dtype=np.float32) * GRAIN
        yield Image.fromarray((np.asarray(mixed) + grain).clip(0, 255).astype(np.uint8))


def best(call: Callable[[bytes], object], payloads: Sequence[bytes]) -> float:
    """Seconds of processor time per payload."""
    rounds = []
    for _ in range(NUM_ROUNDS):
        began = time.process_time()
        for payload in payloads:
            call(payload)
        rounds.append((time.process_time() - began) / len(payloads))
    return min(rounds)


def draft_hash(payload: bytes) -> None:
    """What a hash would cost that trusts the file and decodes a JPEG at an eighth of its size."""
    image = Image.open(io.BytesIO(payload))
    image.draft("L", (64, 64))
    perceptual_hash(image)


def per_image(num: int) -> None:
    images = list(photos(num))
    print(f"one core, {num} images of {SIZE} × {SIZE}; images/s")
    drawn = [one.image for cell in CELLS for one in make_candidates(cell, -(-num // len(CELLS)), 7, 0.5, SIZE)][:num]
    print(f"  {'':10s}{'kB':>6s}{'decode':>9s}{'hash':>9s}{'draft hash':>12s}{'take in':>9s}{'stored kB':>11s}")
    kinds = {name: [encode(image) for image in images] for name, encode in FORMS.items()} | {"drawn PNG": drawn}
    for name, payloads in kinds.items():
        decode_s = best(lambda payload: Image.open(io.BytesIO(payload)).convert("RGB"), payloads)
        hash_s = best(lambda payload: hash_of(payload, CAPS), payloads)
        draft_s = best(draft_hash, payloads)
        take_s = best(lambda payload: take_in(payload, CAPS), payloads)
        taken = [take_in(payload, CAPS) for payload in payloads[:20]]
        stored = statistics.mean(len(one.image) + len(one.thumbnail) for one in taken)
        size = statistics.mean(map(len, payloads))
        print(
            f"  {name:10s}{size / 1000:6.0f}{1 / decode_s:9.0f}{1 / hash_s:9.0f}{1 / draft_s:12.0f}{1 / take_s:9.0f}{stored / 1000:11.0f}"
        )


def whole_add(num: int) -> None:
    cores = len(os.sched_getaffinity(0))
    print(f"spiral pool add, {num} files, {cores} cores")
    for name, encode in FORMS.items():
        few = num if name != "PNG" else max(1, num // 5)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "images"
            source.mkdir()
            for number, image in enumerate(photos(few)):
                (source / f"{number:06}.{name[:3].lower()}").write_bytes(encode(image))
            command = [sys.executable, "-m", "services.cli", "pool", "add", str(source), "--licence", "CC0", "--json"]
            command += ["--state-dir", f"{folder}/state"]
            for what in ("add", "again"):
                before = children_s()
                ended = subprocess.run(command, capture_output=True, text=True, check=True)
                told = json.loads(ended.stdout)
                each_ms = 1000 * (children_s() - before) / told["num_looked_at"]
                print(
                    f"  {name:10s}{what:6s} {told['num_added']:6,} added, {told['num_known']:6,} known: "
                    f"{told['num_looked_at'] / told['wall_s']:6.0f} images/s, {each_ms:5.1f} ms of processor time each"
                )


def children_s() -> float:
    """Processor time of the processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_mb(what: str) -> float:
    found = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1000


def rows(start: int, stop: int, rng: random.Random, words: list[str], odds: list[float]) -> list[PoolImage]:
    categories: list[ImageCategory | None] = [None, *ImageCategory]
    found = []
    for number in range(start, stop):
        digest = f"{rng.getrandbits(256):064x}"
        found.append(
            PoolImage(
                image_sha256=digest,
                image=blob_ref(digest, 100_000),
                thumbnail=blob_ref(f"{rng.getrandbits(256):064x}", 9_000),
                width_px=SIZE,
                height_px=SIZE,
                source="bench",
                licence="CC0-1.0",
                caption=" ".join(rng.choices(words, cum_weights=odds, k=12)),
                category=rng.choice(categories),
                perceptual_hash=rng.getrandbits(64),
                original_sha256=f"{rng.getrandbits(256):064x}",
                origin=f"folder/{number:08}.jpg",
            )
        )
    return found


async def searches(num: int) -> None:
    rng = random.Random(1)
    words = [f"word{number}" for number in range(50_000)]
    odds = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(words))))
    with tempfile.TemporaryDirectory() as folder:
        async with DirectoryStore(Path(folder) / "store") as store:
            artifacts = Artifacts(store, cache_dir=Path(folder) / "cache", producer="cli")
            for start in range(0, num, 500):
                await commit_batch(artifacts, rows(start, min(num, start + 500), rng, words, odds), [])
            before = memory_mb("VmRSS")
            began = time.perf_counter()
            pool = await Pool.open(artifacts)
            print(f"a pool of {len(pool):,} rows: opened in {time.perf_counter() - began:.1f} s, {memory_mb('VmRSS') - before:.0f} MB")
            for what, ask in (
                ("three words", lambda: pool.search(" ".join(rng.choices(words, cum_weights=odds, k=3)), limit=20)),
                ("ten words", lambda: pool.search(" ".join(rng.choices(words, cum_weights=odds, k=10)), limit=20)),
                ("in a category", lambda: pool.search(rng.choices(words, cum_weights=odds)[0], limit=20, category=ImageCategory.MAP)),
                ("by likeness", lambda: pool.alike(rng.getrandbits(64), limit=20)),
                ("of a category", lambda: pool.of_category(ImageCategory.MAP, limit=20, seed=rng.getrandbits(32))),
            ):
                times = []
                for _ in range(50):
                    began = time.perf_counter()
                    ask()
                    times.append(1000 * (time.perf_counter() - began))
                print(f"  {what:14s} {statistics.median(times):6.1f} ms, at most {max(times):.1f}")
            began = time.perf_counter()
            pool.stats()
            print(f"  {'stats':14s} {1000 * (time.perf_counter() - began):6.0f} ms")
            await commit_batch(artifacts, rows(num, num + 500, rng, words, odds), [])
            for what in ("500 new rows", "nothing new"):
                began = time.perf_counter()
                await pool.refresh()
                print(f"  refresh, {what}: {1000 * (time.perf_counter() - began):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="for the figures of one core; 0 leaves them out")
    parser.add_argument("--add", type=int, default=1500, help="files of a whole add; 0 leaves it out")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the searches; 0 leaves them out")
    options = parser.parse_args()
    if options.images:
        per_image(options.images)
    if options.add:
        whole_add(options.add)
    if options.rows:
        asyncio.run(searches(options.rows))


if __name__ == "__main__":
    main()
