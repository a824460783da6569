"""`spiral pool embed`: vectors of captions, so that searches find what is meant and not only what is written."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from services.cli.asking import look_up
from services.cli.console import open_console
from services.cli.options import DEFAULT_STATE_DIR, BusUrl, StateDir, StoreUrl
from services.cli.run_command import say
from services.cli.session import Session
from shared.artifacts import Artifacts
from shared.errors import BadConfiguration
from shared.in_parallel import in_parallel
from shared.llm import LanguageModels, Role, open_models, read_models_file
from shared.pool.batches import find_batch, read_rows
from shared.pool.vectors import batches_without_vectors, commit_vectors
from shared.run_spec import SpendingSpec

MAX_COST_USD = 20.0
_NO_LIMIT = 1 << 60
_BATCH_SIZE = 64
_NUM_PARALLEL = 8
ModelsFile = Annotated[
    Path | None, typer.Option("--models", envvar="SPIRAL_MODELS_FILE", help="The models file, with a model for the role embed.")
]


def embed(
    models: ModelsFile = None,
    max_cost_usd: Annotated[float, typer.Option(min=0, help="What this command may spend.")] = MAX_COST_USD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
) -> None:
    """Embed the captions that have no vectors yet. Needs the broker, which keeps the budget; stopped, it goes on."""
    if models is None:
        raise BadConfiguration("no models file is named: use --models FILE or SPIRAL_MODELS_FILE, with a model for the role embed")
    console = open_console()

    async def all_missing(session: Session) -> None:
        async with open_embedder(session, models, max_cost_usd=max_cost_usd) as embedder:
            names = await batches_without_vectors(session.artifacts, embedder.model)
            num_vectors = 0
            for number, name in enumerate(names, start=1):
                num_vectors += await embed_batch(session.artifacts, name, embedder)
                say(console, f"{number:,} of {len(names):,} batches, {num_vectors:,} captions embedded by {embedder.model}")
            if not names:
                say(console, f"every caption has its vector by {embedder.model}")

    look_up(state_dir, bus_url, store_url, all_missing)


@dataclass(frozen=True, slots=True)
class Embedder:
    """The model that embeds, for one command with a budget of its own."""

    port: LanguageModels
    model: str
    """Its name as sent."""
    run_id: str

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, asked for in batches; raises as `LanguageModels.embed`."""
        batches = [texts[start : start + _BATCH_SIZE] for start in range(0, len(texts), _BATCH_SIZE)]
        replies = await in_parallel(partial(self.port.embed, run_id=self.run_id), batches, limit=_NUM_PARALLEL)
        return [vector for reply in replies for vector in reply.value]


@asynccontextmanager
async def open_embedder(session: Session, models: Path, *, max_cost_usd: float = MAX_COST_USD) -> AsyncIterator[Embedder]:
    """The model that a models file names for the role embed.

    Raises:
        BadConfiguration: the file is wrong, or names no model for the role embed.
    """

    async def limits(run_id: str) -> SpendingSpec:
        return SpendingSpec(max_calls=_NO_LIMIT, max_tokens=_NO_LIMIT, max_cost_usd=max_cost_usd)

    config = read_models_file(models)
    async with open_models(config, bucket=session.bus.bucket, artifacts=session.artifacts, limits=limits) as port:
        names = port.models(Role.EMBED)
        if not names:
            raise BadConfiguration(f"{models} names no model for the role embed")
        yield Embedder(port, names[0], f"pool-{uuid.uuid4().hex[:12]}")


async def embed_batch(artifacts: Artifacts, name: str, embedder: Embedder) -> int:
    """Embeds and commits the captions of a batch; says how many there are. Raises as `LanguageModels.embed` and `Artifacts`."""
    batch = await find_batch(artifacts, name)
    rows = read_rows(await artifacts.read_bytes(batch.rows), name)
    captions = {
        digest.hex(): caption
        for digest, caption in zip(rows.column("image_sha256").to_pylist(), rows.column("caption").to_pylist(), strict=True)
        if caption
    }
    vectors = await embedder.embed(list(captions.values()))
    await commit_vectors(artifacts, name, embedder.model, dict(zip(captions, vectors, strict=True)))
    return len(captions)
