"""How many planted copies are found and how many distinct items are taken for copies: counts, with their intervals."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint
from services.quality.firewall import Firewall, FirewallItem, Leak, Matched
from shared.images.decoding import DecodedImage
from shared.images.details import MIN_DETAILS, is_detail
from tests.planted.copies import Copy
from tests.planted.corpus import Item, marked, other_question
from tests.planted.pictures import opened
from tests.planted.questions import PARAPHRASES, paraphrase

ASKED = ("as it was", "reworded", "unrelated")
"""What is asked about a copied picture: its own question, a fifth of its words replaced, or something else with another answer."""


@dataclass(slots=True)
class Tally:
    """So many of so many."""

    found: int = 0
    num: int = 0

    def add(self, is_found: bool) -> None:
        self.found += is_found
        self.num += 1

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.found + other.found, self.num + other.num)

    @property
    def share(self) -> float:
        return self.found / max(1, self.num)

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson's interval of the share, 95 % by default."""
        num = max(1, self.num)
        centre = (self.share + z * z / (2 * num)) / (1 + z * z / num)
        half = z / (1 + z * z / num) * (self.share * (1 - self.share) / num + z * z / (4 * num * num)) ** 0.5
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{100 * self.share:5.1f} % of {self.num:5d}  [{100 * low:.1f}, {100 * high:.1f}]"


def has_detail(mark: Fingerprint) -> bool:
    """Whether a likeness of the picture means something by itself."""
    return int(is_detail(mark.grid()[None, ..., 0].astype(np.float32)).sum()) >= MIN_DETAILS


def firewall_of(items: Iterable[Item]) -> Firewall:
    return Firewall(FirewallItem(str(at), marked(each)[0]) for at, each in enumerate(items))


def index_of(items: Iterable[Item]) -> FingerprintIndex:
    return FingerprintIndex((str(at), marked(each)[0]) for at, each in enumerate(items))


def asked_about(made: Item, how: str, at: int) -> tuple[str, str]:
    """The question and answer of a copy, by one of `ASKED`."""
    if how == "unrelated":
        other = other_question(made.family, at)
        return other.question, other.answer
    return (paraphrase(made.question, 0.2, Random(at)) if how == "reworded" else made.question), made.answer


def recall(
    find: Callable[[Fingerprint, DecodedImage], object], items: Sequence[Item], copies: Mapping[str, Copy], asked: Iterable[str]
) -> dict[tuple[str, str, bool], Tally]:
    """By the copy's name, what is asked, and whether the picture has detail: how many copies are found."""
    tallies: defaultdict[tuple[str, str, bool], Tally] = defaultdict(Tally)
    for at, made in enumerate(items):
        detailed, picture = has_detail(marked(made)[0]), opened(made.image)
        for name, copy in copies.items():
            image = copy(picture, Random(f"{at}/{name}"))
            for how in asked:
                question, answer = asked_about(made, how, at)
                told = None if answer == made.answer else answer
                tallies[name, how, detailed].add(find(*marked(made, image, question, told)) is not None)
    return dict(tallies)


def text_recall(firewall: Firewall, items: Sequence[Item], pictures: Sequence[Item]) -> dict[tuple[str, str], Tally]:
    """By the paraphrase's grade and whether its answer stays: how many questions are found on another picture."""
    tallies: defaultdict[tuple[str, str], Tally] = defaultdict(Tally)
    for at, made in enumerate(items):
        for name, share in {"in the same words": None, **PARAPHRASES}.items():
            question = made.question if share is None else paraphrase(made.question, share, Random(f"{at}/{name}"))
            for told, answer in (("same answer", None), ("other answer", f"none of {at}")):
                leak = firewall.leak(*marked(made, pictures[at % len(pictures)].image, question, answer))
                tallies[name, told].add(leak is not None and leak.matched is Matched.TEXT)
    return dict(tallies)


def false_leaks(firewall: Firewall, items: Iterable[Item]) -> tuple[dict[str, Tally], list[tuple[Item, Leak]]]:
    """By family: how many distinct items are taken for a leak; and those that are."""
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    taken = []
    for made in items:
        leak = firewall.leak(*marked(made), is_drawn=bool(made.scene))
        tallies[made.family].add(leak is not None)
        if leak is not None:
            taken.append((made, leak))
    return dict(tallies), taken


def false_duplicates(items: Iterable[Item]) -> tuple[dict[str, Tally], list[tuple[Item, Item]]]:
    """By family: how many distinct items are taken for near-copies of an earlier one, where each meets all earlier ones; and those."""
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    index, seen, taken = FingerprintIndex(), list[Item](), []
    for made in items:
        mark, picture = marked(made)
        other = index.near(mark, picture)
        tallies[made.family].add(other is not None)
        if other is not None:
            taken.append((made, seen[int(other)]))
        index.add(str(len(seen)), mark)
        seen.append(made)
    return dict(tallies), taken
