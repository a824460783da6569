"""How long the leases of a killed generator kind take to reach another kind that can do them.

The planner and `rendered` run as processes beside a second, dearer kind that this program only announces. Nobody reviews, so every lease
stays open. Then `rendered` gets SIGKILL at a random moment of its heartbeat; measured is the time until the last of its leases stands in
the stream for the other kind.

    python -m tests.bench.bench_vanish [--rounds 5]
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from deploy.local.environment import ROOT, room_environment
from deploy.local.stack import LocalStack
from services.cli.session import Session, Target, open_session
from services.generators.rendered.candidates import CELLS, KIND
from shared.cancellation import end
from shared.domain import GeneratorIdentity, GeneratorRegistration
from shared.events import GenerationRequested
from shared.history import follow
from shared.telemetry import configure_logs
from tests.rooms import eventually
from tests.swap import RUN_ID, ask_for_all_cells

AIM_S = 10.0
OTHER = GeneratorRegistration(GeneratorIdentity("other", "1.0.0", "one"), CELLS, 3600.0, "", is_draining=False)


async def one_round(directory: Path, delay_s: float) -> tuple[int, float]:
    """How many leases went to the other kind, and seconds from the kill to the last of them."""
    async with LocalStack(directory, rooms=("planner",)) as stack:
        await stack.ready()
        settings = {
            "SPIRAL_BUS_URL": stack.info.bus_url,
            "SPIRAL_STORE_URL": stack.info.store_url,
            "SPIRAL_WORK_DIR": str(directory / "work"),
        }
        async with open_session(Target(stack.info.bus_url, stack.info.store_url, directory)) as session:
            announcing = asyncio.create_task(announce(session))
            victim = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.generators.rendered"),
                cwd=ROOT,
                env=room_environment(settings, uses_torch=False),
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                await eventually(lambda: lives(session), 60)
                await ask_for_all_cells(session, num_samples=480, lease_size=16)
                leases: dict[str, str] = {}
                killed_at = 0.0
                async with aclosing(follow(session.bus, RUN_ID)) as events:
                    async for _, event, _ in events:
                        if not isinstance(event, GenerationRequested):
                            continue
                        leases[event.lease.lease_id] = event.lease.kind
                        if len(leases) == len(CELLS) and not killed_at:
                            await asyncio.sleep(delay_s)
                            victim.kill()
                            killed_at = time.monotonic()
                        if killed_at and set(leases.values()) == {OTHER.generator.kind}:
                            return len(leases), time.monotonic() - killed_at
            finally:
                if victim.returncode is None:
                    victim.kill()
                await victim.wait()
                await end([announcing])
    raise RuntimeError("the events of the run ended early")


async def announce(session: Session) -> None:
    while True:
        await session.generators.announce(OTHER)
        await asyncio.sleep(2)


async def lives(session: Session) -> bool:
    return any(one.generator.kind == KIND for one in await session.generators.living())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    configure_logs("bench", "bench", level="error", is_json=False)
    rng = random.Random("vanish")
    missed = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="spiral-vanish-") as scratch:
            num_leases, taken_s = asyncio.run(one_round(Path(scratch), rng.uniform(0.0, 3.0)))
        print(f"{num_leases} leases with another kind {taken_s:.1f} s after the kill", flush=True)
        missed += taken_s > AIM_S
    sys.exit(missed)


if __name__ == "__main__":
    main()
