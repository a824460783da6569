"""Google's images through Serper (https://serper.dev): one POST per hundred images, paid by the request."""

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from services.generators.agentic.tools.search_exchange import ask_search, domain_of, route_of
from services.generators.agentic.tools.web_search import InvalidSearchReply, WebImage
from shared.errors import BadConfiguration

SERPER_URL = "https://google.serper.dev"

_PER_PAGE = 100
_MAX_PAGES = 10
_CREATIVE_COMMONS = "Creative Commons (by the search's usage rights)"


class _Image(BaseModel):
    model_config = ConfigDict(extra="ignore")

    image_url: str = Field(alias="imageUrl")
    link: str | None = None
    title: str | None = None
    width_px: int | None = Field(default=None, alias="imageWidth")
    height_px: int | None = Field(default=None, alias="imageHeight")


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    images: list[_Image]


class SerperSearch:
    """The image search of Serper; see `WebSearch` for what it raises."""

    name = "serper"

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        api_key: str,
        url: str = SERPER_URL,
        timeout_s: float = 20.0,
        creative_commons_only: bool = False,
    ) -> None:
        """Takes an open client, the key, the address without a path, and seconds per request.

        With `creative_commons_only` the search is told to find only images that Google lists under Creative Commons, and says so as their
        licence; without it no licence is stated.
        """
        key = api_key.strip()
        # A line end within it would be told by the error of whoever writes headers, key and all.
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise BadConfiguration("Serper needs an API key, of printable ASCII characters and nothing else")
        self._client = client
        self._key = key
        self._url = route_of(url, "/images", name=self.name)
        self._timeout_s = timeout_s
        self._is_creative_commons = creative_commons_only

    async def search(self, query: str, *, limit: int) -> list[WebImage]:
        """Up to `limit` images, the best first."""
        found: dict[str, WebImage] = {}
        for page in range(1, _MAX_PAGES + 1):
            num_before = len(found)
            for image in await self._page(query, page, min(limit, _PER_PAGE)):
                found.setdefault(image.url, image)
            if len(found) >= limit or len(found) == num_before:
                break
        return list(found.values())[:limit]

    async def _page(self, query: str, page: int, num: int) -> list[WebImage]:
        question: dict[str, str | int] = {"q": query, "num": num, "page": page}
        if self._is_creative_commons:
            question["tbs"] = "il:cl"
        request = self._client.build_request("POST", self._url, json=question, headers={"X-API-KEY": self._key})
        try:
            reply = await ask_search(
                self._client, request, _Reply, name=self.name, timeout_s=self._timeout_s, refused="check the API key and its rights"
            )
        except InvalidSearchReply as error:
            if "credits" in str(error):
                raise BadConfiguration(f"the Serper account has no credits left: {error}") from error
            raise
        return [self._image(image) for image in reply.images if image.image_url]

    def _image(self, image: _Image) -> WebImage:
        return WebImage(
            url=image.image_url,
            page_url=image.link or "",
            domain=domain_of(image.link or "", image.image_url),
            title=image.title or "",
            licence=_CREATIVE_COMMONS if self._is_creative_commons else "",
            width_px=max(0, image.width_px or 0),
            height_px=max(0, image.height_px or 0),
        )
