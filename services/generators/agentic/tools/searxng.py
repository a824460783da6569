"""The images that a SearXNG of one's own finds (https://docs.searxng.org): free, private, as good as the engines it asks."""

import re
from collections.abc import Mapping
from types import MappingProxyType

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from services.generators.agentic.tools.search_exchange import ask_search, domain_of, route_of
from services.generators.agentic.tools.web_search import WebImage
from shared.errors import Retryable

_MAX_PAGES = 5
_SIZE = re.compile(r"(\d{1,6})\s*[x×*]\s*(\d{1,6})")
_NONE: Mapping[str, str] = MappingProxyType({})


class _Image(BaseModel):
    model_config = ConfigDict(extra="ignore")

    img_src: str | None = None
    url: str | None = None
    title: str | None = None
    resolution: str | None = None
    img_format: str | None = None
    engine: str | None = None
    license: str | None = None
    license_name: str | None = None


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    results: list[_Image]
    unresponsive_engines: list[list[str]] = Field(default_factory=list)


class SearxngSearch:
    """The image search of a SearXNG; see `WebSearch` for what it raises."""

    name = "searxng"

    def __init__(
        self, client: httpx2.AsyncClient, *, url: str, timeout_s: float = 20.0, engine_licences: Mapping[str, str] = _NONE
    ) -> None:
        """Takes an open client, the address of the SearXNG, and seconds per request.

        SearXNG itself seldom states licences. `engine_licences` is the operator's word for engines all of whose images have one licence:
        the engine's name in SearXNG to the licence that is then stated.
        """
        self._client = client
        self._url = route_of(url, "/search", name=self.name)
        self._timeout_s = timeout_s
        self._engine_licences = dict(engine_licences)

    async def search(self, query: str, *, limit: int) -> list[WebImage]:
        """Up to `limit` images, the best first."""
        found: dict[str, WebImage] = {}
        for page in range(1, _MAX_PAGES + 1):
            num_before = len(found)
            for image in await self._page(query, page):
                found.setdefault(image.url, image)
            if len(found) >= limit or len(found) == num_before:
                break
        return list(found.values())[:limit]

    async def _page(self, query: str, page: int) -> list[WebImage]:
        question = {"q": query, "format": "json", "categories": "images", "pageno": str(page)}
        request = self._client.build_request("GET", self._url, params=question)
        reply = await ask_search(
            self._client,
            request,
            _Reply,
            name=self.name,
            timeout_s=self._timeout_s,
            refused="add json to search.formats in its settings.yml, and let this host pass its limiter",
        )
        if page == 1 and not reply.results and reply.unresponsive_engines:
            engines = ", ".join(": ".join(engine) for engine in reply.unresponsive_engines[:5])
            raise Retryable(f"none of the engines of the SearXNG answers: {engines}")
        return [self._image(image, image.img_src) for image in reply.results if image.img_src]

    def _image(self, image: _Image, img_src: str) -> WebImage:
        url = f"https:{img_src}" if img_src.startswith("//") else img_src
        size = _SIZE.search(f"{image.resolution or ''} {image.img_format or ''}")
        return WebImage(
            url=url,
            page_url=image.url or "",
            domain=domain_of(image.url or "", url),
            title=image.title or "",
            licence=image.license_name or image.license or self._engine_licences.get(image.engine or "", ""),
            width_px=int(size[1]) if size else 0,
            height_px=int(size[2]) if size else 0,
        )
