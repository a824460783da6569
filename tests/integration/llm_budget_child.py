"""A process that calls a language model until it is done or its budget is spent: for tests of budgets that processes share.

    python -m tests.integration.llm_budget_child BUS_URL DIRECTORY FIRST_SEED NUM_CALLS

The directory holds the models file and the replies. Prints how many calls were answered, and how many found the budget spent.
"""

import asyncio
import sys
from pathlib import Path

from pydantic import BaseModel

from shared.artifacts import Artifacts
from shared.bus import connect
from shared.llm import BudgetSpent, Call, Part, Role, open_models, read_models_file
from shared.run_spec import RoleLimit, SpendingSpec
from shared.settings import RoomSettings
from shared.store_directory import DirectoryStore

RUN = "r1"
LIMITS = SpendingSpec(
    max_calls=400, max_tokens=60_000, max_cost_usd=0.25, role_limits=(RoleLimit("solve", max_calls=90), RoleLimit("ask", max_cost_usd=0.15))
)


class Count(BaseModel):
    """What the model is asked for."""

    number: int


async def limits(run_id: str) -> SpendingSpec:
    return LIMITS


async def main(bus_url: str, directory: Path, first_seed: int, num_calls: int) -> None:
    settings = RoomSettings(bus_url=bus_url, store_url=f"file://{directory}/objects", work_dir=directory / "work")
    async with connect(settings, "test") as bus, DirectoryStore(directory / "objects") as store:
        artifacts = Artifacts(store, cache_dir=directory / "cache", producer="test")
        config = read_models_file(directory / "models.toml")
        async with open_models(config, bucket=bus.bucket, artifacts=artifacts, limits=limits) as models:

            async def ask(seed: int) -> bool:
                role = Role.SOLVE if seed % 3 == 0 else Role.ASK
                call = Call(role, RUN, "Count.", (Part(text="How many?"),), seed=seed, max_output_tokens=60)
                try:
                    await models.ask(call, Count)
                except BudgetSpent:
                    return False
                return True

            print("asking", flush=True)
            outcomes = await asyncio.gather(*(ask(seed) for seed in range(first_seed, first_seed + num_calls)))
            print(sum(outcomes), len(outcomes) - sum(outcomes), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
