"""How long no candidate arrives while version 2 of `rendered` replaces version 1, against the longest gap of undisturbed work.

In the middle of the work `spiral generators start` brings version 2 from its own source tree, then `spiral generators drain` asks version
1 to leave. The swap lasts from the start of the first command to the end of the second. Normal are the gaps before and after it.

In a plan: planner, generators and quality work at a plan over all cells, each its own process; counted are the first 85 % of the arrivals,
after which cells are full and the generators wait. Generators alone: 64 leases wait for them at any time.

    python -m tests.bench.bench_swap [--rounds 3]
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from services.cli.session import Session
from shared.telemetry import configure_logs
from tests.arrivals import Arrival, Gaps, gaps, read_arrivals, read_leases
from tests.swap import RUN_ID, Feeder, Swapped, arrived, idle_stack, loaded_stack, next_version, sealed, swapped

AIM = 2.0
LEASE_SIZE = 64
NUM_SAMPLES = 12_000
NUM_ALONE = 6_000
BEFORE = 0.3
"""Share of the plan that is done before the swap begins."""
FULL_LOAD = 0.85

Measured = tuple[Sequence[Arrival], Swapped]


async def in_a_plan(directory: Path) -> Measured:
    source = next_version(directory / "next")
    async with loaded_stack(directory / "state", num_samples=NUM_SAMPLES, lease_size=LEASE_SIZE) as (_, session):
        await arrived(session, int(BEFORE * NUM_SAMPLES))
        async with swapped(session, directory / "state", source) as times:
            await sealed(session)
            await check(session, has_reviews=True)
            arrivals = await read_arrivals(session.bus, RUN_ID)
            return arrivals[: int(FULL_LOAD * len(arrivals))], times


async def generators_alone(directory: Path) -> Measured:
    source = next_version(directory / "next")
    async with idle_stack(directory / "state", "generators.rendered") as (_, session), Feeder(session, lease_size=LEASE_SIZE) as feeder:
        await arrived(session, NUM_ALONE)
        async with swapped(session, directory / "state", source) as times:
            await arrived(session, NUM_ALONE, since_ns=times.ended_ns)
            await feeder.finish()
            await check(session, has_reviews=False)
            return await read_arrivals(session.bus, RUN_ID), times


async def check(session: Session, *, has_reviews: bool) -> None:
    leases = await read_leases(session.bus, RUN_ID)
    steps = [leases.issued, leases.answered, *([leases.reviewed] if has_reviews else [])]
    if any(step.keys() != leases.issued.keys() for step in steps):
        raise RuntimeError("a lease was lost")
    if any(set(step.values()) != {1} for step in steps):
        raise RuntimeError("a lease was issued, answered or reviewed twice")


def row(name: str, found: Gaps) -> str:
    return f"{name:18}{found.num:>6}{found.median_s * 1e3:>9.0f} ms{found.p99_s * 1e3:>7.0f} ms{found.longest_s * 1e3:>7.0f} ms"


def report(name: str, arrivals: Sequence[Arrival], times: Swapped) -> bool:
    """Prints the table; whether the aim was reached."""
    if arrivals[-1].at_ns < times.ended_ns:
        raise RuntimeError("the work ended before the swap: give it more")
    normal = [
        gaps([one for one in arrivals if one.at_ns < times.began_ns]),
        gaps([one for one in arrivals if one.at_ns > times.ended_ns]),
    ]
    during = gaps(arrivals, begin_ns=times.began_ns, end_ns=times.ended_ns)
    made: Counter[str] = Counter()
    for one in arrivals:
        made[one.generator.version] += one.num_candidates
    by_version = ", ".join(f"{count:,} by {version}" for version, count in sorted(made.items()))
    rate = made.total() / (arrivals[-1].at_ns - arrivals[0].at_ns) * 1e9
    joined_s, swapped_s = ((at_ns - times.began_ns) / 1e9 for at_ns in (times.joined_ns, times.ended_ns))
    print(f"{name}: {by_version}, {rate:.0f} a second; joined after {joined_s:.1f} s, swapped after {swapped_s:.1f} s")
    print(f"{'':18}{'gaps':>6}{'median':>12}{'p99':>10}{'longest':>10}")
    for words, found in zip(("before", "during the swap", "after"), (normal[0], during, normal[1]), strict=True):
        print(row(words, found))
    ratio = during.longest_s / max(found.longest_s for found in normal)
    print(f"longest during / longest normal: {ratio:.2f}", flush=True)
    return ratio <= AIM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    configure_logs("bench", "bench", level="error", is_json=False)
    missed = 0
    for _ in range(rounds):
        for name, measure in (("in a plan", in_a_plan), ("generators alone", generators_alone)):
            with tempfile.TemporaryDirectory(prefix="spiral-swap-") as scratch:
                missed += not report(name, *asyncio.run(measure(Path(scratch))))
    sys.exit(missed)


if __name__ == "__main__":
    main()
