"""Fetching a stranger's bytes: every hop of a redirect checked from the start, and caps on bytes, time and hops over the whole exchange."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx2

from services.generators.agentic.tools.guarded_network import Guard, Resolve, open_guarded_client, resolve_by_system
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from services.generators.agentic.tools.urls import CheckedUrl

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ENCODINGS = frozenset({"gzip", "deflate"})
_HEADERS = {
    "User-Agent": "spiral-dpe (image search for model training; one request per image)",
    "Accept": "image/png, image/jpeg, image/webp",
    "Accept-Encoding": "identity",
}
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")
_LONGEST_MAGIC = max(map(len, _MAGIC))


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one exchange may cost."""

    max_bytes: int = 12 * 1024 * 1024
    """Of the image, compressed for the way or not."""
    timeout_s: float = 20.0
    """For everything: names, connections, redirects and every byte."""
    max_redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes that begin like an image."""

    url: CheckedUrl
    """Where the last redirect led."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fetcher:
    """A guard and the client that goes through it."""

    guard: Guard
    client: httpx2.AsyncClient

    async def fetch(self, url: str, limits: FetchLimits) -> Fetched:
        """The bytes behind a URL.

        Raises:
            Refused: for whatever reason they can't be had; there is no other error.
        """
        try:
            async with asyncio.timeout(limits.timeout_s):
                return await self._follow(url, limits)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise Refused(RefusalReason.TOO_SLOW, f"not there within {limits.timeout_s:g} s") from error
        except (httpx2.ProtocolError, httpx2.DecodingError) as error:
            raise Refused(RefusalReason.BAD_RESPONSE, str(error) or type(error).__name__) from error
        except httpx2.TransportError as error:
            raise Refused(RefusalReason.UNREACHABLE, str(error) or type(error).__name__) from error

    async def _follow(self, url: str, limits: FetchLimits) -> Fetched:
        # One address that swallows packets must leave time for the others of its name.
        patience = httpx2.Timeout(limits.timeout_s, connect=limits.timeout_s / 4)
        text = url
        for _ in range(limits.max_redirects + 1):
            checked = self.guard.check_url(text)
            async with self.client.stream("GET", checked.text, headers=_HEADERS, timeout=patience) as response:
                if response.status_code not in _REDIRECTS:
                    return Fetched(checked, await _read(response, limits.max_bytes))
                text = _target_of(response, checked)
        raise Refused(RefusalReason.TOO_MANY_REDIRECTS, f"more than {limits.max_redirects} redirects")


@contextlib.asynccontextmanager
async def open_fetcher(
    guard: Guard | None = None, *, resolve: Resolve = resolve_by_system, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[Fetcher]:
    """A fetcher; without a guard that of the public web alone. Its connections are closed at the end."""
    chosen = guard or Guard()
    async with open_guarded_client(chosen, resolve=resolve, ssl_context=ssl_context) as client:
        yield Fetcher(chosen, client)


def _target_of(response: httpx2.Response, asked: CheckedUrl) -> str:
    location = response.headers.get("location", "")
    if not location:
        raise Refused(RefusalReason.BAD_RESPONSE, f"status {response.status_code} without a place to go")
    try:
        return urljoin(asked.text, location)
    except ValueError as error:
        raise Refused(RefusalReason.MALFORMED_URL, f"redirected to no URL: {error}") from error


async def _read(response: httpx2.Response, max_bytes: int) -> bytes:
    if response.status_code != 200:
        raise Refused(RefusalReason.BAD_STATUS, f"status {response.status_code}")
    encodings = [one.strip().lower() for one in response.headers.get("content-encoding", "identity").split(",")]
    # Two layers could unpack to far more in between than comes out at the end.
    if len(encodings) > 1 or not set(encodings) <= _ENCODINGS | {"identity"}:
        raise Refused(RefusalReason.BAD_RESPONSE, f"packed as {', '.join(encodings)}")
    promised = response.headers.get("content-length", "")
    if promised.isdigit() and int(promised) > max_bytes:
        raise Refused(RefusalReason.TOO_LARGE, f"{int(promised):,} bytes are more than the cap of {max_bytes:,}")
    payload = bytearray()
    is_image = False
    async with contextlib.aclosing(response.aiter_bytes()) as parts:
        async for part in parts:
            payload += part
            if max(len(payload), response.num_bytes_downloaded) > max_bytes:
                raise Refused(RefusalReason.TOO_LARGE, f"more than the cap of {max_bytes:,} bytes")
            if not is_image and len(payload) >= _LONGEST_MAGIC:
                if not payload.startswith(_MAGIC):
                    raise Refused(RefusalReason.UNDECODABLE, "these bytes do not begin like a PNG, JPEG or WEBP")
                is_image = True
    return bytes(payload)
