"""One question to a search endpoint and its answer, checked: what both adapters share.

The endpoint is the operator's own choice and may stand on a private address, so this does not go through the guard. Redirects are not
followed: they would carry the key to another host.
"""

import asyncio
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ValidationError

from services.generators.agentic.tools.domains import registrable_domain
from services.generators.agentic.tools.web_search import InvalidSearchReply, SearchBusy
from shared.errors import BadConfiguration, Retryable

_MAX_REPLY_BYTES = 4 * 1024 * 1024
_TOLD_CHARS = 200

T = TypeVar("T", bound=BaseModel)


def route_of(url: str, route: str, *, name: str) -> str:
    """The address of a search's route.

    Raises:
        BadConfiguration: the search's own address is none.
    """
    try:
        parts = urlsplit(url)
        # A port that is none raises here.
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        is_address = False
    if not is_address:
        raise BadConfiguration(f"the address of {name} in SPIRAL_SEARCH_URL must look like http://host:8080, not {url!r}")
    return f"{url.rstrip('/')}{route}"


async def ask_search(
    client: httpx2.AsyncClient, request: httpx2.Request, schema: type[T], *, name: str, timeout_s: float, refused: str
) -> T:
    """The reply to one request.

    Args:
        client: any client.
        request: the question.
        schema: of the reply.
        name: of the search, for messages.
        timeout_s: for the whole exchange.
        refused: what to do where the endpoint refuses the caller (401, 403), in words.

    Raises:
        BadConfiguration: the endpoint refuses the caller, does not exist, or is somewhere else.
        SearchBusy: it asks for a pause.
        Retryable: it is away, too slow, or fails on its side.
        InvalidSearchReply: its answer is too long or not of the schema, or it refuses the question itself.
    """
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                body = await _read(response, name)
            finally:
                await response.aclose()
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise Retryable(f"{name} did not answer within {timeout_s:g} s") from error
    except httpx2.DecodingError as error:
        raise InvalidSearchReply(f"{name} packed its answer in a way that can't be read: {error}") from error
    except httpx2.TransportError as error:
        raise Retryable(f"{name} can't be reached: {error or type(error).__name__}") from error
    _check_status(response, body, name, refused)
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidSearchReply(f"{name} answered with no list of images: {first['msg']} at {'.'.join(map(str, first['loc']))}") from error


def domain_of(*urls: str) -> str:
    """The registrable domain of the first URL that has a host; empty where none has."""
    for url in urls:
        try:
            host = urlsplit(url).hostname
        except ValueError:
            continue
        if host:
            return registrable_domain(host)
    return ""


def told(body: bytes) -> str:
    """The beginning of an answer, for a message."""
    return " ".join(body[: 4 * _TOLD_CHARS].decode(errors="replace").split())[:_TOLD_CHARS]


async def _read(response: httpx2.Response, name: str) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _MAX_REPLY_BYTES:
            raise InvalidSearchReply(f"{name} answered with more than {_MAX_REPLY_BYTES:,} bytes")
    return bytes(body)


def _check_status(response: httpx2.Response, body: bytes, name: str, refused: str) -> None:
    status = response.status_code
    if status in (401, 403):
        raise BadConfiguration(f"{name} refuses us (status {status}): {refused}")
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        raise SearchBusy(f"{name} asks for a pause (status {status})", retry_after_s=_retry_after_s(response))
    if status >= 500:
        raise Retryable(f"{name} fails on its side (status {status}): {told(body)}")
    if status == 404 or 300 <= status < 400:
        raise BadConfiguration(f"{name} is not at {response.request.url.copy_with(query=None)} (status {status}): check its address")
    if status != 200:
        raise InvalidSearchReply(f"{name} refuses the question (status {status}): {told(body)}")


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds to wait, as the endpoint says: a number, or a date, which is counted from the endpoint's own clock."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until, now = _date(text), _date(response.headers.get("date", ""))
    return max(0.0, (until - now).total_seconds()) if until and now else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
