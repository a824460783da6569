"""Planted faults that are no copies: harmful files, wrong candidates, answers without the image, and URLs that lead inside.

    PYTHONPATH=.:proto/gen python -m tests.bench.bench_faults [--per-cell 50]

Each line tells how many were refused for the reason that they were planted for. Candidates are drawn ones of all cells, spoiled by every
way of `tests/planted/wrong_candidates.py`; questions that need no image are judged by a model that answers them rightly. URLs and hosts
are asked by the agents' fetcher of a server that counts who connects; names resolve to what is not public.
"""

import argparse
import asyncio
import time
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from services.generators.agentic.tools.fetching import FetchLimits, open_fetcher
from services.generators.agentic.tools.guarded_network import Guard
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.judgement import check_necessity, read_solution
from shared.domain import Candidate, QuestionType, RejectionReason
from shared.images.decoding import ImageRefused, decode_image
from tests.planted.broken_images import bombs, damaged, polyglots
from tests.planted.wrong_candidates import TEXT_ONLY, miscategorised, mislabelled, misplaced
from tests.search_server import SearchServer, ServedImage
from tests.unit.agentic_tools.loopback import ScriptedResolver, encoded, picture
from tests.unit.agentic_tools.spellings import HOSTS, NAMES, URLS
from tests.unit.quality.suspects import reason_of

SPOILED: dict[str, tuple[Callable[[Candidate, Random], Candidate], RejectionReason]] = {
    "wrong labels": (mislabelled, RejectionReason.WRONG_ANSWER),
    "scenes of another category": (miscategorised, RejectionReason.WRONG_CELL),
    "claims of another cell": (misplaced, RejectionReason.WRONG_CELL),
}


def told(what: str, refused: Iterable[bool], more: str = "") -> None:
    each = list(refused)
    print(f"  {what:44s} {sum(each):6d} of {len(each):6d} {more}")


def is_refused(payload: bytes) -> bool:
    try:
        decode_image(payload, max_bytes=8_000_000, max_pixels=4_194_304)
    except ImageRefused as refusal:
        return refusal.reason in (RejectionReason.IMAGE_TOO_LARGE, RejectionReason.IMAGE_UNDECODABLE)
    return False


def measure_files() -> None:
    for what, files in (("bombs", bombs()), ("polyglots and other formats", polyglots()), ("damaged and moving files", damaged())):
        tracemalloc.start()
        started, slowest_s, refused = time.thread_time(), 0.0, []
        for payload in files.values():
            refused.append(is_refused(payload))
            now = time.thread_time()
            started, slowest_s = now, max(slowest_s, now - started)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        told(what, refused, f"at most {1e3 * slowest_s:.0f} ms each, {peak / 1e6:.1f} MB above what Python held")


def measure_candidates(per_cell: int) -> None:
    sound = [made for cell in CELLS for made in make_candidates(cell, per_cell, 11, 0.5, 64)]
    for what, (spoil, reason) in SPOILED.items():
        told(what, (reason_of(spoil(made, Random(at)), cell=made.cell) is reason for at, made in enumerate(sound)))
    told("sound ones (none should be)", (reason_of(made) is not None for made in sound))
    asked = next(made for made in sound if made.cell.question_type is QuestionType.TEXT)
    needless = [replace(asked, question=question, answer=answer) for question, answer in TEXT_ONLY]
    told("questions that need no image", (check_necessity([read_solution(made, made.answer, "blind")]) is not None for made in needless))


async def measure_urls() -> None:
    image = encoded(picture())
    with SearchServer(images=[ServedImage("a.png", image)]) as server:
        names = ScriptedResolver({name: [addresses] for name, addresses in NAMES.items()})
        async with open_fetcher(Guard(allowed_ports=frozenset({80, 443, server.port})), resolve=names) as fetcher:

            async def is_stopped(url: str, reason: RefusalReason) -> bool:
                try:
                    await fetcher.fetch(url, FetchLimits(timeout_s=10))
                except Refused as refused:
                    return refused.reason is reason
                return False

            path = f":{server.port}/images/a.png"
            told("hosts, oddly or plainly spelled", [await is_stopped(f"http://{host}{path}", reason) for host, reason in HOSTS])
            told("URLs", [await is_stopped(url, reason) for url, reason in URLS])
            told("names", [await is_stopped(f"http://{name}{path}", RefusalReason.FORBIDDEN_ADDRESS) for name in NAMES])
        print(f"  connections that were made: {server.num_connections}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-cell", type=int, default=50)
    options = parser.parse_args()
    print("refused for the reason that they were planted for:")
    measure_files()
    measure_candidates(options.per_cell)
    asyncio.run(measure_urls())


if __name__ == "__main__":
    main()
