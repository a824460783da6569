"""Planted copies and leaks that are found, and distinct items that are taken for one.

    PYTHONPATH=.:proto/gen python -m tests.bench.bench_planted [--known 3000] [--distinct 10000] [--copied 300] [--folder DIR]

A firewall of `--known` items meets copies of `--copied` of them: each picture changed by every way of `tests/planted/copies.py`, asked
about as it was, with a fifth of the words replaced, or about something else. The same questions are then asked about other pictures. Of
`--distinct` items none is a copy of an item or of another; drawn scenes whose descriptions are the same are left out. "With detail" are
pictures whose likeness means something by itself: 32 of 1,024 cells differ from their surroundings.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from random import Random

from services.quality.fingerprint_index import FingerprintIndex
from tests.planted.copies import BEYOND, COPIES
from tests.planted.corpus import distinct_items, folder_items, items, marked
from tests.planted.measuring import ASKED, Tally, false_duplicates, false_leaks, firewall_of, has_detail, index_of, recall, text_recall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=3000)
    parser.add_argument("--distinct", type=int, default=10_000)
    parser.add_argument("--copied", type=int, default=300)
    parser.add_argument(
        "--folder", type=Path, help="measures pictures of this folder instead: every other one is known, all others are distinct"
    )
    options = parser.parse_args()
    if options.folder:
        measure_folder(options.folder, options.copied)
        return
    known = list(items(options.known, "known"))
    firewall = firewall_of(known)
    copied = Random("copied").sample(known, options.copied)
    print(f"{options.copied} of {len(known)} items copied; leaks found, by what is asked about the copy")
    table(recall(firewall.leak, copied, COPIES | BEYOND, ASKED))
    earlier: FingerprintIndex = index_of(known)
    print("near-copies found among what was accepted earlier")
    table(recall(earlier.near, copied, COPIES | BEYOND, ASKED[:2]))
    print("questions found on other pictures")
    others = list(items(50, "other pictures"))
    distinctive = [made for made in copied if len(set(marked(made)[0].words)) >= 8]
    for (name, answer), tally in text_recall(firewall, distinctive, others).items():
        print(f"  {name:20s} {answer:14s} {tally}")
    scenes = {made.scene for made in known if made.scene}
    distinct = list(distinct_items(options.distinct, "distinct", scenes))
    started = time.thread_time()
    tallies, leaks = false_leaks(firewall, distinct)
    report("distinct items taken for leaks", tallies, time.thread_time() - started)
    print("   ", Counter((made.family, str(leak.matched), leak.detail.split(" of ")[0]) for made, leak in leaks).most_common())
    started = time.thread_time()
    tallies, pairs = false_duplicates(distinct)
    report("distinct items taken for near-copies of an earlier one", tallies, time.thread_time() - started)
    print("    with another answer:", sum(made.answer != other.answer for made, other in pairs))


def measure_folder(folder: Path, num_copied: int) -> None:
    made = list(folder_items(folder))
    Random("folder").shuffle(made)
    known, distinct = made[::2], made[1::2]
    firewall = firewall_of(known)
    copied = [each for each in known if has_detail(marked(each)[0])][:num_copied]
    print(f"{len(copied)} of {len(known)} pictures copied; leaks found, by what is asked about the copy")
    table(recall(firewall.leak, copied, COPIES | BEYOND, ("as it was", "unrelated")))
    started = time.thread_time()
    tallies, leaks = false_leaks(firewall, distinct)
    report("distinct pictures taken for leaks", tallies, time.thread_time() - started)
    print("   ", Counter((str(leak.matched), leak.detail.split(" of ")[0]) for _, leak in leaks).most_common())


def table(tallies: dict[tuple[str, str, bool], Tally]) -> None:
    asked = list(dict.fromkeys(how for _, how, _ in tallies))
    for name in dict.fromkeys(name for name, _, _ in tallies):
        cells = []
        for how in asked:
            detailed, plain = tallies.get((name, how, True), Tally()), tallies.get((name, how, False), Tally())
            cells.append(f"{how}: {100 * (detailed + plain).share:5.1f} %, with detail {100 * detailed.share:5.1f} %")
        print(f"  {name:44s} {'   '.join(cells)}")
    for how in asked:
        for kind in ("in scope", "beyond"):
            names = COPIES if kind == "in scope" else BEYOND
            total = sum((tally for (name, said, detailed), tally in tallies.items() if name in names and said == how and detailed), Tally())
            print(f"  {kind}, {how}, with detail: {total}")


def report(title: str, tallies: dict[str, Tally], elapsed_s: float) -> None:
    total = sum(tallies.values(), Tally())
    print(f"{title}: {total}; {total.num / elapsed_s:.0f} items a second of CPU time, decoding included")
    for family, tally in sorted(tallies.items()):
        print(f"  {family:12s} {tally}")


if __name__ == "__main__":
    main()
