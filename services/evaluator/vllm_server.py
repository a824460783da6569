"""The weights of a running vLLM server: the development routes by which they are replaced, and read back.

The routes need `VLLM_SERVER_DEV_MODE=1` and ask for no password: the server stands on a private network.
"""

from pathlib import Path
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Retryable

UNTOUCHED = "default"
"""The weight version of a server whose weights were never replaced."""
LOADING = "spiral-loading"
"""The weight version while weights are replaced: what a crash leaves behind, so that half-loaded weights have no trusted name."""
_SHOWN_CHARS = 300

Answer = TypeVar("Answer", bound=BaseModel)


class _Untrusted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ServedModel(_Untrusted):
    """The model that a server was started with."""

    id: str
    root: Path
    """Its directory, as the server names it."""


class _Models(_Untrusted):
    data: list[ServedModel] = Field(min_length=1)


class _WeightInfo(_Untrusted):
    weight_version: str


class _Paused(_Untrusted):
    is_paused: bool


class _Reset(_Untrusted):
    success: bool


class VllmServer:
    """One server's weights. Everything raises `Retryable` where the server can't be reached, refuses, or answers something else."""

    def __init__(self, http: httpx2.AsyncClient, url: str, *, swap_timeout_s: float) -> None:
        """Takes a client, the server's address without `/v1`, and how long draining or loading may take."""
        self._http = http
        self._url = url
        self._swap_timeout_s = swap_timeout_s

    async def served_model(self) -> ServedModel:
        """The model that the server was started with, which stands first in its list."""
        return _parsed(_Models, await self._call("GET", "/v1/models")).data[0]

    async def weight_version(self) -> str:
        """The name that whoever replaced the weights last gave them."""
        return _parsed(_WeightInfo, await self._call("GET", "/weight_info")).weight_version

    async def is_paused(self) -> bool:
        """Whether requests wait: weights are being replaced, or whoever did it died."""
        return _parsed(_Paused, await self._call("GET", "/is_paused")).is_paused

    async def load(self, directory: Path, version: str) -> None:
        """Replaces the weights when every request under way is answered; new ones wait meanwhile.

        A failure on the way leaves the server paused under the version `LOADING`: nobody is answered by weights of two checkpoints. The
        next `load` takes it from there.

        Args:
            directory: a checkpoint that was found to fit, at a path that the server sees.
            version: a name that no other weights have or had.
        """
        await self._call("POST", "/pause?mode=wait")
        await self._call("POST", "/update_weight_version", {"new_version": LOADING})
        await self._call("POST", "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(directory)}})
        if not _parsed(_Reset, await self._call("POST", "/reset_prefix_cache")).success:
            raise Retryable(f"the model server at {self._url} could not forget what it computed with the weights before: restart it")
        await self._call("POST", "/reset_mm_cache")
        await self._call("POST", "/reset_encoder_cache")
        await self._call("POST", "/update_weight_version", {"new_version": version})
        await self._call("POST", "/resume")

    async def _call(self, method: str, route: str, body: object = None) -> httpx2.Response:
        try:
            response = await self._http.request(method, f"{self._url}{route}", json=body, timeout=self._swap_timeout_s)
        except httpx2.TransportError as error:
            raise Retryable(
                f"the model server at {self._url} did not answer {route} ({type(error).__name__}): see whether it runs, and its log"
            ) from error
        if response.is_success:
            return response
        if response.status_code == httpx2.codes.NOT_FOUND:
            raise Retryable(f"the model server at {self._url} has no {route}: start it with VLLM_SERVER_DEV_MODE=1")
        raise Retryable(
            f"the model server at {self._url} answered {route} with {response.status_code}: {response.text[:_SHOWN_CHARS]}; "
            "see its log, and whether it sees SPIRAL_POLICY_SERVER_DIR at the same path"
        )


def _parsed(kind: type[Answer], response: httpx2.Response) -> Answer:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise Retryable(
            f"{response.request.url} answered something else than a vLLM server does ({response.text[:_SHOWN_CHARS]!r}): "
            "check SPIRAL_POLICY_SERVER_URL and the server's version"
        ) from error
