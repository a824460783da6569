"""What the streams say of a run's leases and candidates: when each arrived, from whom, and how long nothing came.

It is read afterwards from what the broker stored, so it is the same whoever started the rooms, and recording disturbs nothing.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise

from shared import events as e
from shared.bus import Bus
from shared.catalogue import BY_MESSAGE, Stream
from shared.domain import GeneratorIdentity
from shared.envelope import unseal
from shared.history import row_of, scan


@dataclass(frozen=True)
class Arrival:
    """One message of `candidates.generated`, as the stream holds it."""

    at_ns: int
    lease_id: str
    num_candidates: int
    generator: GeneratorIdentity


@dataclass(frozen=True)
class Leases:
    """How often each lease of a run was issued, answered and reviewed, counted in stored messages."""

    issued: Counter[str]
    answered: Counter[str]
    reviewed: Counter[str]


@dataclass(frozen=True)
class Gaps:
    """Seconds between arrivals that follow each other."""

    num: int
    median_s: float
    p99_s: float
    longest_s: float


async def read_arrivals(bus: Bus, run_id: str) -> list[Arrival]:
    """All arrivals of a run in the order of their storing, repetitions among them."""
    return [
        Arrival(at_ns, event.lease.lease_id, event.num_candidates, event.generator)
        for event, at_ns in await _stored(bus, run_id)
        if isinstance(event, e.CandidatesGenerated)
    ]


async def read_leases(bus: Bus, run_id: str) -> Leases:
    """What became of a run's leases."""
    counts = Leases(Counter(), Counter(), Counter())
    for event, _ in await _stored(bus, run_id):
        match event:
            case e.GenerationRequested():
                counts.issued[event.lease.lease_id] += 1
            case e.CandidatesGenerated():
                counts.answered[event.lease.lease_id] += 1
            case e.CandidatesReviewed():
                counts.reviewed[event.lease.lease_id] += 1
    return counts


def gaps(arrivals: Sequence[Arrival], *, begin_ns: int = 0, end_ns: int = 1 << 63) -> Gaps:
    """The gaps of which a part lies between `begin_ns` and `end_ns`."""
    found = sorted(
        (after.at_ns - before.at_ns) / 1e9 for before, after in pairwise(arrivals) if after.at_ns > begin_ns and before.at_ns < end_ns
    )
    if not found:
        raise ValueError("no two candidates arrived in this time: there is no gap to measure")
    return Gaps(len(found), found[len(found) // 2], found[int(len(found) * 0.99)], found[-1])


async def _stored(bus: Bus, run_id: str) -> list[tuple[e.Event, int]]:
    asked, made, judged = (BY_MESSAGE[kind].subject for kind in (e.GenerationRequested, e.CandidatesGenerated, e.CandidatesReviewed))
    subjects = [f"{asked}.*.{run_id}", f"{made}.{run_id}", f"{judged}.{run_id}"]
    async with aclosing(scan(bus, Stream.WORK, subjects)) as messages:
        return [
            (unseal(row_of(stored.subject), stored.subject, stored.headers, stored.payload), stored.stored_at_ns)
            async for stored in messages
        ]
