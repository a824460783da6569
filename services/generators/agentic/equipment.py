"""What the agents work with: language models, the pool of images, and the web search where there is one."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from services.generators.agentic.settings import AgenticSettings
from services.generators.agentic.web_finder import WebFinder, open_web_finder
from shared.artifacts import Artifacts
from shared.llm import LanguageModels, ModelsConfig, Role, open_models, read_models_file
from shared.pool import Pool
from shared.run_spec import SpendingSpec
from shared.service import Ports

PREVIEW_RUN = "preview"
"""Candidates outside of leases are paid from a budget of their own, under this name."""
NEEDED_ROLES = (Role.BLUEPRINT, Role.SELECT, Role.OBSERVE, Role.ASK, Role.SOLVE)


@dataclass(frozen=True, slots=True)
class Equipment:
    """Everything at hand."""

    models: LanguageModels
    pool: Pool
    web: WebFinder | None
    artifacts: Artifacts
    max_options: int

    def lacks(self) -> str:
        """What is missing at the moment, in words; empty where nothing."""
        if away := self.models.away:
            return f"a language model does not answer, out of the spiral until it does: {away}"
        if not len(self.pool) and self.web is None:
            return "no images: the pool is empty and there is no web search; use `spiral pool add`, or set SPIRAL_SEARCH_KIND"
        return ""


async def open_equipment(ports: Ports, settings: AgenticSettings, stack: AsyncExitStack) -> Equipment | str:
    """The equipment, closed by the stack; or what is lacking for good, in words.

    Raises:
        BadConfiguration: the models file or a key file can't be read, or says what can't be.
        Retryable: the store or the broker is away.
    """
    if settings.models_file is None:
        return "no language models: none are named, set SPIRAL_MODELS_FILE"
    config = read_models_file(settings.models_file)
    missing = unfilled(config)
    if missing:
        return f"no language models: {settings.models_file} names none for {', '.join(missing)}, set SPIRAL_MODELS_FILE to one that does"
    preview = SpendingSpec(settings.preview_max_calls, settings.preview_max_tokens, settings.preview_max_cost_usd)

    async def limits(run_id: str) -> SpendingSpec:
        return preview if run_id == PREVIEW_RUN else (await ports.runs.get(run_id)).spending

    models = await stack.enter_async_context(open_models(config, bucket=ports.bucket, artifacts=ports.artifacts, limits=limits))
    await models.knock()
    return Equipment(
        models=models,
        pool=await Pool.open(ports.artifacts, embedding_model=next(iter(models.models(Role.EMBED)), "")),
        web=await stack.enter_async_context(open_web_finder(settings, ports.artifacts)),
        artifacts=ports.artifacts,
        max_options=settings.max_options,
    )


def unfilled(config: ModelsConfig) -> Sequence[str]:
    """The roles that must be filled and are not."""
    return [role.value for role in NEEDED_ROLES if not config.models_for(role)]
