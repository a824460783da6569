"""Searching the web for images: the port, what it finds and how it fails. The adapters are `serper` and `searxng`.

What is found is what strangers say of images: URLs go through `downloads`, titles through `quoting`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.errors import Retryable, SpiralError


@dataclass(frozen=True, slots=True)
class WebImage:
    """An image that a search found. Nothing of it is checked."""

    url: str
    """Of the image itself."""
    page_url: str
    """Of the page that shows it; empty where not stated."""
    domain: str
    """Registrable domain of the page, or of the image where no page is stated."""
    title: str
    licence: str
    """As the search states it; empty where it does not."""
    width_px: int
    """0 where not stated."""
    height_px: int
    """0 where not stated."""


class SearchBusy(Retryable):
    """The search asks for a pause."""

    def __init__(self, detail: str, *, retry_after_s: float | None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        """As it says itself; None where it does not."""


class InvalidSearchReply(SpiralError):
    """The search answered with something that is no list of images: not absence, and not worth the same question again."""


class WebSearch(Protocol):
    """A search for images on the web."""

    @property
    def name(self) -> str:
        """As provenance and logs name it, say "serper"."""
        ...

    async def search(self, query: str, *, limit: int) -> Sequence[WebImage]:
        """Up to `limit` images, the best first, each URL once; fewer or none where there are no more.

        Raises:
            BadConfiguration: the key, the address or a setting of the search is wrong; the text says what to do.
            SearchBusy: it asks for a pause.
            Retryable: it is away, too slow, or fails on its side.
            InvalidSearchReply: it answered with no list of images.
        """
        ...
