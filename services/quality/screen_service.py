"""A content screen of the operator's own, behind HTTP: say, a classifier of unsafe images, or one that reads names off them.

    POST SPIRAL_CONTENT_SCREEN_URL   {"schema": "spiral.content/1", "image": BASE64, "text": TEXT}
    200                              {"is_unsafe": true, "reasons": ["nudity 0.97"]}

Any other status, or an answer of another shape, is trouble of the hook's and says nothing of the candidate: its lease is tried again.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from shared.errors import Retryable

_MAX_REPLY_BYTES = 64 * 1024


class _Verdict(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    is_unsafe: StrictBool
    reasons: tuple[str, ...] = ()


class ScreenService:
    """`ContentScreen` by a request for each candidate."""

    def __init__(self, client: httpx2.AsyncClient, url: str, *, timeout_s: float) -> None:
        """Takes how long one request may take, from its first byte to the answer's last."""
        self._client = client
        self._url = url
        self._timeout_s = timeout_s

    async def find(self, image: bytes, text: str) -> str | None:
        """What the hook found."""
        body = {"schema": "spiral.content/1", "image": base64.b64encode(image).decode(), "text": text}
        try:
            async with asyncio.timeout(self._timeout_s), self._client.stream("POST", self._url, json=body) as response:
                payload = b""
                async for part in response.aiter_bytes():
                    payload += part
                    if len(payload) > _MAX_REPLY_BYTES:
                        raise Retryable(f"the content screen's answer has more than {_MAX_REPLY_BYTES:,} bytes")
        except (httpx2.HTTPError, TimeoutError) as error:
            raise Retryable(
                f"the content screen can't be asked: {error!r}; is SPIRAL_CONTENT_SCREEN_URL right, and the hook up?"
            ) from error
        if response.status_code != httpx2.codes.OK:
            raise Retryable(f"the content screen answers with status {response.status_code}; see its own log")
        try:
            verdict = _Verdict.model_validate_json(payload)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise Retryable(f"the content screen's answer is no verdict: {where + ': ' if where else ''}{problem['msg']}") from error
        return ", ".join(verdict.reasons) or "the content screen refuses it" if verdict.is_unsafe else None


@asynccontextmanager
async def open_screen_service(url: str, *, timeout_s: float) -> AsyncIterator[ScreenService]:
    """A screen at a URL; each request may take `timeout_s`. Nothing is asked before the first candidate."""
    async with httpx2.AsyncClient(timeout=timeout_s, follow_redirects=False) as client:
        yield ScreenService(client, url, timeout_s=timeout_s)
