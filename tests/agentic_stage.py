"""A stage for agents: a pool of pictures, a scripted endpoint that looks at them, the equipment over real HTTP and a real broker."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.generators.agentic.assignment import Assignment
from services.generators.agentic.equipment import Equipment
from services.generators.agentic.turn import Turn
from services.generators.agentic.web_finder import WebFinder
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.domain import Cell, Guidance, ImageCategory, LeaseTask, QuestionType
from shared.llm import open_models, read_models_file
from shared.llm.tuning import Tuning
from shared.pool import Pool
from shared.run_spec import SpendingSpec
from shared.settings import RoomSettings
from shared.store import open_store
from tests.pool_images import Picture, fill_pool
from tests.scripted_llm import ChatRequest, Fault, ScriptedLlm, models_toml
from tests.scripted_llm.sighted import Sighted

SOON = Tuning(backoff_s=0.01, max_backoff_s=0.05, max_retry_after_s=0.2, cool_down_s=0.2, num_failures_to_open=3, connect_timeout_s=1.0)
"""The exchange with endpoints, with short waits."""

Script = Callable[[ChatRequest], str | Fault]


@dataclass
class Stage:
    """What a test of the agents works with."""

    equipment: Equipment
    artifacts: Artifacts
    llm: ScriptedLlm
    models_file: Path


@asynccontextmanager
async def stage(
    bus: Bus,
    settings: RoomSettings,
    directory: Path,
    *,
    pictures: Sequence[Picture] = (),
    is_labelled: bool = True,
    script: Script | None = None,
    spending: SpendingSpec = SpendingSpec(),
    web: Callable[[Artifacts], WebFinder | None] = lambda artifacts: None,
    tuning: Tuning = SOON,
    edit_image: str | None = None,
    delay_s: float = 0.0,
    timeout_s: float = 5.0,
) -> AsyncIterator[Stage]:
    """The stage, until the block is left."""

    async def limits(run_id: str) -> SpendingSpec:
        return spending

    with ScriptedLlm(script or Sighted(), delay_s=delay_s) as llm:
        models_file = directory / "models.toml"
        models_file.write_text(models_toml(llm.url, edit_image=edit_image, embed=None, timeout_s=timeout_s))
        async with open_store(settings) as store:
            artifacts = Artifacts(store, cache_dir=directory / "cache", producer="generators")
            if pictures:
                await fill_pool(artifacts, pictures, is_labelled=is_labelled)
            config = read_models_file(models_file)
            async with open_models(config, bucket=bus.bucket, artifacts=artifacts, limits=limits, tuning=tuning) as models:
                equipment = Equipment(models, await Pool.open(artifacts), web(artifacts), artifacts, max_options=4)
                yield Stage(equipment, artifacts, llm, models_file)


def assignments(
    category: ImageCategory = ImageCategory.NATURAL_SCENE,
    question_type: QuestionType = QuestionType.NUMERIC,
    *,
    num: int = 4,
    seed: int = 5,
    difficulty: float = 0.5,
    image_size_px: int = 192,
    task: LeaseTask | None = None,
    guidance: Guidance | None = None,
    run_id: str = "r1",
) -> list[Assignment]:
    """The candidates of one list."""
    return [
        Assignment(
            run_id=run_id,
            list_id=f"list-{seed}",
            cell=Cell(category, question_type),
            difficulty=difficulty,
            image_size_px=image_size_px,
            seed=seed,
            index=index,
            num_candidates=num,
            turn=Turn(f"{run_id}/{seed}"),
            task=task,
            guidance=guidance,
        )
        for index in range(num)
    ]
