"""Candidates a second through each check, and through a whole review, on one core.

    PYTHONPATH=.:proto/gen python tests/bench/bench_quality.py [--candidates 2000] [--size 64] [--known 4000]

Candidates of all cells of the rendered generator meet an index of `--known` fingerprints, as in a run's second iteration. Each check is
timed by itself, with the evidence that it is the first to need (parsed scene, decoded image, fingerprint).
"""

import argparse
import time

from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.checks import CHECKS, Caps, Evidence, Known
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.review import screen
from shared.domain import Candidate, Lease, ModelVersion, Recipe
from tests.examples import artifact

CAPS = Caps(max_image_bytes=8_000_000, max_image_pixels=4_194_304)


def drawn(num: int, seed: int, size: int) -> list[Candidate]:
    each = -(-num // len(CELLS))
    return [candidate for cell in CELLS for candidate in make_candidates(cell, each, seed, 0.5, size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--known", type=int, default=4000)
    options = parser.parse_args()
    standing = FingerprintIndex((c.candidate_id, Evidence(c, c.cell, CAPS).fingerprint) for c in drawn(options.known, 1, options.size))
    known = Known(standing, (standing,))
    candidates = drawn(options.candidates, 2, options.size)
    evidence = [Evidence(candidate, candidate.cell, CAPS) for candidate in candidates]
    print(f"{len(candidates)} candidates of {options.size} px against {len(standing)} known ones")
    total_s = 0.0
    for check in CHECKS:
        started = time.thread_time()
        num_refused = sum(check(each, known) is not None for each in evidence)
        elapsed_s = time.thread_time() - started
        total_s += elapsed_s
        print(f"  {check.__name__:18s} {len(candidates) / elapsed_s:10,.0f} /s   refused {num_refused}")
    print(f"  {'all':18s} {len(candidates) / total_s:10,.0f} /s")
    model = ModelVersion("bench/0", 0, artifact("checkpoint"))
    by_cell = {cell: [candidate for candidate in candidates if candidate.cell == cell] for cell in CELLS}
    started = time.thread_time()
    for cell, made in by_cell.items():
        screen(made, Lease("bench", cell, Recipe.TEACH, "rendered", 1, len(made), len(made), 1, 0.5, options.size, model), CAPS, known)
    print(f"  {'review':18s} {len(candidates) / (time.thread_time() - started):10,.0f} /s")


if __name__ == "__main__":
    main()
