"""Reading images of the pool and of the web: one that can't be read is one candidate less, and no reason to refuse the lease."""

from collections.abc import Awaitable
from typing import TypeVar

from services.generators.agentic.agents.consultation import AgentFailed
from shared.errors import DigestMismatch, NotFound
from shared.images.decoding import ImageRefused
from shared.llm import Role

T = TypeVar("T")


async def read_image(reading: Awaitable[T]) -> T:
    """What comes of reading an image.

    Raises:
        AgentFailed: it vanished, was corrupted, or does not decode within the caps.
    """
    try:
        return await reading
    except ImageRefused as error:
        raise AgentFailed(Role.SELECT, "image_refused", error.detail) from error
    except (NotFound, DigestMismatch) as error:
        raise AgentFailed(Role.SELECT, "image_lost", str(error)) from error
