"""Language models opened against a scripted server, with short waits, a budget in memory and replies in a directory."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.artifacts import Artifacts
from shared.domain import Spend
from shared.llm import Call, LanguageModels, Part, Reply, Role, open_models, read_models_file
from shared.llm.spending import read_spending
from shared.llm.tuning import Tuning
from shared.run_spec import SpendingSpec
from shared.store import ObjectStore
from shared.store_directory import DirectoryStore
from tests.scripted_llm import ChatRequest, Fault, ScriptedLlm, models_toml
from tests.unit.llm.memory_bucket import MemoryBucket

RUN = "r1"
QUICK = Tuning(backoff_s=0.01, max_backoff_s=0.05, cool_down_s=0.2, max_cool_down_s=0.4)


class Count(BaseModel):
    """What the scripted models are asked for."""

    number: int


@dataclass(frozen=True)
class Desk:
    """Opened models, and what stands behind them."""

    models: LanguageModels
    bucket: MemoryBucket

    async def ask(self, seed: int = 0, *, role: Role = Role.ASK, model: str | None = None, **changes: Any) -> Reply[Count]:
        call = Call(role, RUN, "Count.", (Part(text="How many?"),), seed=seed)
        return await self.models.ask(replace(call, **changes), Count, model=model)

    async def spent(self) -> Spend:
        """What the run has spent, over all roles."""
        spends = await read_spending(self.bucket, RUN)
        return Spend(
            "",
            sum(spend.num_calls for spend in spends),
            sum(spend.num_input_tokens for spend in spends),
            sum(spend.num_output_tokens for spend in spends),
            round(sum(spend.cost_usd for spend in spends), 12),
        )


@asynccontextmanager
async def desk(
    tmp_path: Path,
    url: str,
    *,
    limits: SpendingSpec = SpendingSpec(),
    tuning: Tuning = QUICK,
    bucket: MemoryBucket | None = None,
    wrapped: Callable[[ObjectStore], ObjectStore] = lambda store: store,
    **models: Any,
) -> AsyncIterator[Desk]:
    """Opens the models of `models_toml(url, **models)`; replies stand below `tmp_path`, so that the next desk there finds them."""
    path = tmp_path / "models.toml"
    path.write_text(models_toml(url, **models), encoding="utf-8")
    kept = bucket or MemoryBucket()

    async def opened(name: str) -> MemoryBucket:
        return kept

    async def limits_of(run_id: str) -> SpendingSpec:
        return limits

    async with DirectoryStore(tmp_path / "objects") as store:
        artifacts = Artifacts(wrapped(store), cache_dir=tmp_path / "cache", producer="test")
        config = read_models_file(path)
        async with open_models(config, bucket=opened, artifacts=artifacts, limits=limits_of, tuning=tuning) as models_:
            yield Desk(models_, kept)


def in_turn(*answers: str | Fault) -> Callable[[ChatRequest], str | Fault]:
    """Each answer once, then a good one."""
    left = list(answers)
    return lambda request: left.pop(0) if left else '{"number": 4}'


@asynccontextmanager
async def scripted_desk(tmp_path: Path, *answers: str | Fault, **how: Any) -> AsyncIterator[tuple[Desk, ScriptedLlm]]:
    """A desk at a server that gives these answers in turn, then good ones."""
    with ScriptedLlm(in_turn(*answers)) as llm:
        async with desk(tmp_path, llm.url, **how) as opened:
            yield opened, llm
