"""Images of the web for a query: searched once for each list and query, fetched through the guard, stored, and remembered.

What was found is written down before anybody looks at it. So a lease that is taken up again after a crash sees the same images, pays no
search twice, and its paid replies still fit.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

import httpx2

from services.generators.agentic.agents.consultation import AgentFailed
from services.generators.agentic.licences import is_allowed
from services.generators.agentic.settings import AgenticSettings
from services.generators.agentic.source import Source
from services.generators.agentic.tools.downloads import Download, fetch_image
from services.generators.agentic.tools.fetching import Fetcher, open_fetcher
from services.generators.agentic.tools.rasters import read_raster
from services.generators.agentic.tools.refusals import Refused
from services.generators.agentic.tools.search_exchange import domain_of
from services.generators.agentic.tools.searxng import SearxngSearch
from services.generators.agentic.tools.serper import SERPER_URL, SerperSearch
from services.generators.agentic.tools.web_search import InvalidSearchReply, WebImage, WebSearch
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef
from shared.errors import BadConfiguration
from shared.images.perceptual_hash import perceptual_hash
from shared.in_parallel import in_parallel
from shared.llm import Role
from shared.ports import Cause
from shared.telemetry import log

_FOUND_PER_WANTED = 3
"""Images that are asked of the search for each that is wanted: some have no licence, some can't be fetched."""
_NUM_PARALLEL_FETCHES = 4
_CAPTION_CHARS = 500


class WebFinder:
    """A web search with its memory."""

    def __init__(self, search: WebSearch, fetcher: Fetcher, artifacts: Artifacts, *, now: Callable[[], datetime] | None = None) -> None:
        self._search = search
        self._fetcher = fetcher
        self._artifacts = artifacts
        self._now = now or (lambda: datetime.now(UTC))
        self._looking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, query: str, *, list_id: str, limit: int, licences: Sequence[str]) -> list[Source]:
        """Up to `limit` images that may be used, the best first.

        Raises:
            AgentFailed: the search refuses us or answers nonsense.
            Retryable: the search, or the store, is away.
        """
        name = _name(self._search.name, query, list_id, limit, licences)
        # Candidates of one list often search alike, and at the same time.
        lock = self._looking.setdefault(name, asyncio.Lock())
        async with lock:
            standing = await self._artifacts.find(name)
            if standing is None:
                standing = await self._look(name, query, limit, licences)
        manifest = await self._artifacts.manifest(standing)
        return [_source(row, manifest.files[row["file"]]) for row in manifest.metadata["images"]]

    async def _look(self, name: str, query: str, limit: int, licences: Sequence[str]) -> ArtifactRef:
        found = await self._ask(query, limit * _FOUND_PER_WANTED)
        refused: Counter[str] = Counter()
        licensed = [image for image in found if is_allowed(image.licence, licences)]
        refused["licence"] = len(found) - len(licensed)
        images: list[dict[str, Any]] = []
        files: dict[str, ArtifactRef] = {}
        for start in range(0, len(licensed), limit):
            if len(images) >= limit:
                break
            # In groups of as many as are wanted, so that none is fetched which nobody needs.
            for download in await in_parallel(self._fetch, licensed[start : start + limit], limit=_NUM_PARALLEL_FETCHES):
                if isinstance(download, Refused):
                    refused[download.reason.value] += 1
                elif len(images) < limit and f"{download.sha256}.png" not in files:
                    files[f"{download.sha256}.png"] = await self._artifacts.put_bytes(download.image)
                    images.append(await _row(download))
        if refused := +refused:
            log.info("images of the web refused", query=query, refused=dict(refused))
        cause = Cause(hashlib.sha256(f"agentic/{name}".encode()).hexdigest(), time.time_ns())
        metadata = {"query": query, "search": self._search.name, "images": images, "refused": dict(refused)}
        return await self._artifacts.commit(name, files, cause=cause, metadata=metadata)

    async def _ask(self, query: str, limit: int) -> Sequence[WebImage]:
        try:
            return await self._search.search(query, limit=limit)
        except BadConfiguration as error:
            log.error("the web search refuses us", reason=str(error))
            raise AgentFailed(Role.SELECT, "search_refused", str(error)) from error
        except InvalidSearchReply as error:
            raise AgentFailed(Role.SELECT, "search_invalid", str(error)) from error

    async def _fetch(self, found: WebImage) -> Download | Refused:
        try:
            return await fetch_image(self._fetcher, found, retrieved_at=self._now())
        except Refused as error:
            return error


@asynccontextmanager
async def open_web_finder(settings: AgenticSettings, artifacts: Artifacts) -> AsyncIterator[WebFinder | None]:
    """The web search that the settings name; None where they name none.

    Raises:
        BadConfiguration: its address or key is missing or can't be read.
    """
    if settings.search_kind is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx2.AsyncClient())
        fetcher = await stack.enter_async_context(open_fetcher())
        yield WebFinder(_search(settings, client), fetcher, artifacts)


def _search(settings: AgenticSettings, client: httpx2.AsyncClient) -> WebSearch:
    if settings.search_kind == "searxng":
        return SearxngSearch(client, url=settings.search_url, engine_licences=settings.search_engine_licences)
    if settings.search_key_file is None:
        raise BadConfiguration("the search serper needs a key: set SPIRAL_SEARCH_KEY_FILE to a file that holds it")
    try:
        key = settings.search_key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"can't read the key in SPIRAL_SEARCH_KEY_FILE={settings.search_key_file}: {error}") from error
    return SerperSearch(client, api_key=key, url=settings.search_url or SERPER_URL, creative_commons_only=True)


def _name(search: str, query: str, list_id: str, limit: int, licences: Sequence[str]) -> str:
    told = "\n".join([search, query, list_id, str(limit), *licences])
    return f"agentic/searches/{hashlib.sha256(told.encode()).hexdigest()}"


async def _row(download: Download) -> dict[str, Any]:
    return {
        "file": f"{download.sha256}.png",
        "width_px": download.width_px,
        "height_px": download.height_px,
        # JSON numbers are doubles to many readers.
        "perceptual_hash": f"{await asyncio.to_thread(_hash_of, download.image):016x}",
        "licence": download.licence,
        "title": download.title[:_CAPTION_CHARS],
        "url": download.url,
        "page_url": download.page_url,
        "domain": domain_of(download.page_url, download.url),
        "retrieved_at": download.retrieved_at.isoformat(timespec="seconds"),
    }


def _hash_of(image: bytes) -> int:
    return perceptual_hash(read_raster(image))


def _source(row: dict[str, Any], ref: ArtifactRef) -> Source:
    return Source(
        origin="web",
        image=ref,
        width_px=row["width_px"],
        height_px=row["height_px"],
        perceptual_hash=int(row["perceptual_hash"], 16),
        licence=row["licence"],
        caption=row["title"],
        url=row["url"],
        page_url=row["page_url"],
        domain=row["domain"],
        retrieved_at=row["retrieved_at"],
    )
