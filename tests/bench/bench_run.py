"""Where the wall clock of a run goes, and the peak memory of every room.

A room's busy time is the time between an event and what it made follow from it; its memory is the resident set of its process and all
that it started, sampled five times a second, so pages that processes share count in each.

    python -m tests.bench.bench_run [options of `spiral run`]

Without options: one iteration of 600 samples on the shipped model.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local.stack import LocalStack

ROOT = Path(__file__).parents[2]
DEFAULT = ("--iterations", "1", "--samples", "600", "--max-candidates", "2400", "--run-id", "bench")


def resident_bytes(pid: int) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss
    return total


async def sample(stack: LocalStack, peaks: Counter[str]) -> None:
    while True:
        info = stack.info
        for name, pid in (("broker", info.broker_pid), *((room.name, room.pid) for room in info.rooms)):
            if pid is not None:
                peaks[name] = max(peaks[name], resident_bytes(pid))
        await asyncio.sleep(0.2)


async def measure(arguments: list[str]) -> int:
    peaks: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="spiral-bench-") as scratch:
        began = time.monotonic()
        async with LocalStack(Path(scratch) / "state") as stack:
            await stack.ready()
            started_s = time.monotonic() - began
            sampling = asyncio.create_task(sample(stack, peaks))
            command = [sys.executable, "-m", "services.cli", "run", "--json", "--state-dir", f"{scratch}/state", *arguments]
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
            sampling.cancel()
            if process.returncode:
                return process.returncode
        report = json.loads(out)
    total_s = report["run"]["total_s"]
    print(f"run of {total_s:.0f} s, {report['run']['num_iterations']} iteration(s); the stack stood after {started_s:.1f} s")
    print(f"{'room':22}{'busy':>9}{'share':>8}  {'work':24}{'rate':>10}{'peak memory':>14}")
    busy = {room["room"]: room for room in report["rooms"]}
    for name in peaks:
        room = busy.get(name.partition(".")[0])
        memory = f"{peaks[name] / 1e6:>11,.0f} MB"
        if room is None:
            print(f"{name:22}{'':>9}{'':>8}  {'':24}{'':>10}{memory}")
        else:
            work = f"{room['done']:,} {room['unit']}"
            print(f"{name:22}{room['busy_s']:>7.1f} s{room['busy_s'] / total_s:>8.0%}  {work:24}{room['rate_per_s']:>8.3g}/s{memory}")
    return 0


def main() -> None:
    arguments = sys.argv[1:]
    if "--help" in arguments:
        print(__doc__)
        return
    sys.exit(asyncio.run(measure(arguments or list(DEFAULT))))


if __name__ == "__main__":
    main()
