"""Loopback stands for the internet here: 127.0.0.1 is allowed on given ports, and everything else is as forbidden as ever."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from services.generators.agentic.tools.addresses import network_of
from services.generators.agentic.tools.fetching import Fetcher, open_fetcher
from services.generators.agentic.tools.guarded_network import Guard

ALLOWED = network_of("127.0.0.1/32")


@dataclass
class ScriptedResolver:
    """Says what it is told, one answer per question where several are given, and counts."""

    names: dict[str, Sequence[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str) -> Sequence[str]:
        answers = self.names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        before = self.asked.count(host)
        self.asked.append(host)
        await asyncio.sleep(0)
        return answers[min(before, len(answers) - 1)]


@asynccontextmanager
async def loopback_fetcher(*ports: int, names: ScriptedResolver | None = None) -> AsyncIterator[Fetcher]:
    guard = Guard(allowed_networks=(ALLOWED,), allowed_ports=frozenset(ports))
    async with open_fetcher(guard, resolve=names or ScriptedResolver({})) as fetcher:
        yield fetcher


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def picture(width_px: int = 320, height_px: int = 256, *, seed: int = 0) -> Image.Image:
    """Sharp and of many colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px // 8, width_px // 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width_px, height_px), Image.Resampling.NEAREST)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()
