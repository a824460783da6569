"""A trainer in a process of its own, to be killed: prints the pid of its training once that trains."""

import asyncio
import sys
from pathlib import Path

import psutil

from shared.run_spec import TrainingSpec
from tests.integration.trainer_room import open_trainer
from tests.unit.trainer.drawn import draw_samples


async def main(directory: Path, base: Path) -> None:
    """Trains until killed."""
    async with open_trainer(directory, base, TrainingSpec(recipe="sft", sft_epochs=1000)) as room:
        said = room.handle(await room.dataset(draw_samples(32, seed=1)))
        await anext(said)
        (child,) = psutil.Process().children()
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        async for _ in said:
            pass


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
