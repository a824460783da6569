"""Candidates a second through each check, and through a whole review, on one core.

    PYTHONPATH=.:proto/gen python tests/bench/bench_quality.py [--candidates 2000] [--size 64] [--known 4000] [--photo-size 512]

Candidates of all cells of the rendered generator meet an index of `--known` fingerprints, as in a run's second iteration. Each check is
timed by itself, with the evidence that it is the first to need (parsed scene, decoded image, fingerprint). Candidates without a scene, on
JPEGs of `--photo-size` px, are timed through what checks them without a model: provenance, licence, shares, personal data, and reading the
judges' answers.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image

from services.generators.rendered.candidates import CELLS, make_candidates
from services.quality.checks import CHECKS, COMPARISONS, Compared, Known
from services.quality.evidence import Caps, Evidence, Terms
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.firewall import Firewall, FirewallItem
from services.quality.judgement import check_agreement, check_necessity, read_solution, text_only_orders
from services.quality.personal_data import find_personal_data
from services.quality.screening import screen
from services.quality.sources import Representation, Shares
from shared.domain import Candidate, Lease, ModelVersion, Recipe
from shared.images.decoding import DecodedImage
from tests.examples import artifact

CAPS = Caps(max_image_bytes=8_000_000, max_image_pixels=4_194_304)
TERMS = Terms(solvers=("seer", "reader"), lacking="", allowed_licences=("CC-BY-*", "CC0-1.0"))
SHARES = Shares(per_domain=200, per_image=80)


def drawn(num: int, seed: int, size: int) -> list[Candidate]:
    each = -(-num // len(CELLS))
    return [candidate for cell in CELLS for candidate in make_candidates(cell, each, seed, 0.5, size)]


def photographed(candidates: Sequence[Candidate], size: int) -> list[Candidate]:
    """The same questions on noisy JPEGs of unlike brightness, as found images without a scene."""
    found = []
    for number, candidate in enumerate(candidates):
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
        sink = io.BytesIO()
        small.save(sink, "JPEG", quality=85)
        source = {"origin": "web", "image_sha256": candidate.candidate_id, "domain": f"site{number % 97}.test", "licence": "CC-BY-4.0"}
        told = json.dumps({"source": source, "models": {"ask": "asker"}, "edits": [], "calls": []})
        found.append(replace(candidate, image=sink.getvalue(), scene="", provenance=told))
    return found


def timed(name: str, work: Callable[[], int], num: int) -> float:
    started = time.thread_time()
    num_refused = work()
    elapsed_s = time.thread_time() - started
    print(f"  {name:18s} {num / max(elapsed_s, 1e-9):10,.0f} /s   refused {num_refused}")
    return elapsed_s


def compared(evidence: Sequence[Evidence], known: Known, what: str) -> float:
    candidates = [
        Compared(each.fingerprint, each.image if isinstance(each.image, DecodedImage) else None, each.is_proven) for each in evidence
    ]
    total_s = 0.0
    for comparison in COMPARISONS:
        outcome = lambda comparison=comparison: sum(comparison(each, known) is not None for each in candidates)  # noqa: E731
        total_s += timed(f"{comparison.__name__}{what}", outcome, len(evidence))
    return total_s


def judged(candidates: Sequence[Candidate]) -> int:
    num_refused = 0
    for candidate in candidates:
        attempts = [read_solution(candidate, "no idea", "blind", order) for order in text_only_orders(candidate)]
        solutions = [read_solution(candidate, candidate.answer, model) for model in TERMS.solvers]
        num_refused += (check_necessity(attempts) or check_agreement(candidate, solutions, 2)) is not None
    return num_refused


def shared_out(evidence: Sequence[Evidence]) -> int:
    represented = Representation()
    num_refused = 0
    for each in evidence:
        source = each.source
        assert source is not None
        refusal = represented.check(source, SHARES)
        num_refused += refusal is not None
        if refusal is None:
            represented.add(source)
    return num_refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--known", type=int, default=4000)
    parser.add_argument("--photo-size", type=int, default=512)
    options = parser.parse_args()
    standing = [(c.candidate_id, Evidence(c, c.cell, CAPS).fingerprint) for c in drawn(options.known, 1, options.size)]
    wall = Firewall([FirewallItem(f"probe {name}", mark) for name, mark in standing])
    known = Known(wall, (FingerprintIndex(standing),), (wall,))
    candidates = drawn(options.candidates, 2, options.size)
    evidence = [Evidence(candidate, candidate.cell, CAPS) for candidate in candidates]
    print(f"{len(candidates)} drawn candidates of {options.size} px against {len(standing)} known ones")
    total_s = 0.0
    for check in CHECKS:
        total_s += timed(check.__name__, lambda check=check: sum(check(each) is not None for each in evidence), len(evidence))
    total_s += timed("fingerprint", lambda: sum(not each.fingerprint.exact for each in evidence), len(evidence))
    total_s += compared(evidence, known, "")
    print(f"  {'all':18s} {len(candidates) / total_s:10,.0f} /s")
    model = ModelVersion("bench/0", 0, artifact("checkpoint"))
    by_cell = {cell: [candidate for candidate in candidates if candidate.cell == cell] for cell in CELLS}
    started = time.thread_time()
    for cell, made in by_cell.items():
        screen(made, Lease("bench", cell, Recipe.TEACH, "rendered", 1, len(made), len(made), 1, 0.5, options.size, model), CAPS, known)
    print(f"  {'review':18s} {len(candidates) / (time.thread_time() - started):10,.0f} /s")

    found = photographed(Random(0).sample(candidates, min(500, len(candidates))), options.photo_size)
    photos = [Evidence(candidate, candidate.cell, CAPS, TERMS) for candidate in found]
    print(f"{len(found)} candidates without a scene, JPEGs of {options.photo_size} px")
    for check in CHECKS:
        timed(check.__name__, lambda check=check: sum(check(each) is not None for each in photos), len(photos))
    timed("fingerprint", lambda: sum(not each.fingerprint.exact for each in photos), len(photos))
    compared(photos, known, "")
    timed("shares", lambda: shared_out(photos), len(photos))
    texts = ["\n".join([each.question, *each.choices, each.answer]) for each in candidates]
    timed("personal data", lambda: sum(find_personal_data(text) is not None for text in texts), len(texts))
    timed("reading answers", lambda: judged(found), len(found))


if __name__ == "__main__":
    main()
