"""What may never be trained on: probes, the exam and registered benchmarks, as images and as texts."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint
from shared.images.decoding import DecodedImage


class Matched(StrEnum):
    """What of an item leaked."""

    IMAGE = "image"
    TEXT = "text"
    BOTH = "image and text"


@dataclass(frozen=True, slots=True)
class FirewallItem:
    """An item behind the firewall. `name` is told in verdicts: an exam item's must not say which."""

    name: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Leak:
    """A candidate that repeats an item: the item's name, what was recognised, and how, in words for people."""

    name: str
    matched: Matched
    detail: str


class Firewall:
    """Items that candidates may not repeat; the first one named wins."""

    def __init__(self, items: Iterable[FirewallItem] = ()) -> None:
        """Takes all items at once; whether a text is distinctive is judged among them."""
        self._index = FingerprintIndex((item.name, item.fingerprint) for item in items if item.fingerprint.cells)

    def __len__(self) -> int:
        return len(self._index)

    def leak(self, fingerprint: Fingerprint, image: DecodedImage | None = None) -> Leak | None:
        """What a candidate repeats, or None.

        Args:
            fingerprint: of the candidate.
            image: its image, where it is at hand: crops are found more surely.
        """
        name = self._index.near(fingerprint, image)
        return Leak(name, Matched.BOTH, f"a copy of {name}") if name else None
