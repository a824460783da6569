"""The port's adapter to OpenAI-compatible servers."""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TypeVar

from pydantic import BaseModel

from shared.artifacts import Artifacts
from shared.llm import chat, embeddings, image_edits
from shared.llm.endpoint import EndpointLink
from shared.llm.models_file import ModelsConfig
from shared.llm.paid_replies import PaidReplies
from shared.llm.port import Call, Reply
from shared.llm.reply_cache import ReplyCache
from shared.llm.roles import Role
from shared.llm.spending import Spending
from shared.llm.timing import Timing
from shared.llm.tuning import Tuning
from shared.ports import KeyValue
from shared.run_spec import SpendingSpec

M = TypeVar("M", bound=BaseModel)


class OpenAiModels:
    """`LanguageModels` over HTTP."""

    def __init__(self, replies: PaidReplies) -> None:
        self._replies = replies

    def models(self, role: Role) -> tuple[str, ...]:
        """See `LanguageModels`."""
        return tuple(choice.model for choice in self._replies.config.models_for(role))

    async def ask(self, call: Call, schema: type[M], *, model: str | None = None) -> Reply[M]:
        """See `LanguageModels`."""
        return await chat.ask(self._replies, call, schema, model)

    async def embed(self, texts: Sequence[str], *, run_id: str) -> Reply[list[list[float]]]:
        """See `LanguageModels`."""
        return await embeddings.embed(self._replies, texts, run_id)

    async def edit_image(self, image: bytes, prompt: str, *, run_id: str, seed: int) -> Reply[bytes]:
        """See `LanguageModels`."""
        return await image_edits.edit_image(self._replies, image, prompt, run_id, seed)

    @property
    def away(self) -> str:
        """See `LanguageModels`."""
        return self._replies.away

    async def knock(self) -> None:
        """See `LanguageModels`."""
        await self._replies.knock()


@asynccontextmanager
async def opened(
    config: ModelsConfig,
    *,
    bucket: Callable[[str], Awaitable[KeyValue]],
    artifacts: Artifacts,
    limits: Callable[[str], Awaitable[SpendingSpec]],
    tuning: Tuning,
) -> AsyncIterator[OpenAiModels]:
    """See `shared.llm.opening.open_models`."""
    # Waits are spread by chance, not drawn for a result: no two processes may wait alike.
    timing = Timing(time.monotonic, Random(uuid.uuid4().int))
    async with AsyncExitStack() as stack:
        links = {}
        for name, endpoint in config.endpoints.items():
            links[name] = EndpointLink(config.path, name, endpoint, tuning, timing)
            stack.push_async_callback(links[name].close)
        spending = Spending(bucket, limits, writer=uuid.uuid4().hex, timing=timing)
        replies = PaidReplies(config, links, spending, ReplyCache(artifacts), tuning=tuning, timing=timing)
        stack.push_async_callback(replies.close)
        yield OpenAiModels(replies)
