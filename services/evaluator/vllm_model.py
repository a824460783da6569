"""The policy on a vLLM server: many requests in flight, and one checkpoint at a time in its memory."""

import asyncio
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from services.evaluator.images import UnreadableImage, decode_image
from services.evaluator.placement import Placement, have_same_weights
from services.evaluator.policy_model import Completions, Decoding, Prompt
from services.evaluator.vllm_chat import Fingerprint, Refused, VllmChat
from services.evaluator.vllm_server import LOADING, UNTOUCHED, VllmServer
from shared.errors import Retryable
from shared.telemetry import log

_MAX_PLACED = 2
# Between two loads of the same weights sums may be rounded otherwise; another checkpoint, or half of one, is further away.
_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class _Served:
    checkpoint: Path
    version: str
    model: str


class VllmModel:
    """`PolicyModel` over a vLLM server that no other evaluator uses. One call at a time: requests of two checkpoints never meet."""

    def __init__(
        self, *, url: str, directory: Path, max_in_flight: int, timeout_s: float, swap_timeout_s: float, max_image_pixels: int
    ) -> None:
        """Takes the server's address without `/v1`, a directory that it sees at the same path, and limits."""
        self._url = url.rstrip("/")
        self._max_in_flight = max_in_flight
        self._max_image_pixels = max_image_pixels
        self._http = httpx2.AsyncClient(
            timeout=timeout_s, trust_env=False, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=max_in_flight)
        )
        self._chat = VllmChat(self._http, self._url, timeout_s=timeout_s)
        self._server = VllmServer(self._http, self._url, swap_timeout_s=swap_timeout_s)
        self._placement = Placement(directory, max_placed=_MAX_PLACED)
        self._turn = asyncio.Lock()
        self._instance = uuid.uuid4().hex[:12]
        self._num_swaps = 0
        self._served: _Served | None = None
        self._fingerprints: dict[Path, Fingerprint] = {}

    async def __aenter__(self) -> "VllmModel":
        await asyncio.to_thread(self._placement.clear)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def generate(self, checkpoint: Path, prompts: Sequence[Prompt], decoding: Decoding, *, batch_size: int) -> list[Completions]:
        """See `PolicyModel.generate`; the same answers as far as the server's batches, which others' requests shape, round alike.

        Raises:
            Rejected: the served model can't take this checkpoint's weights.
            Retryable: the server could not be asked, or its weights were replaced by somebody else; no answer was kept.
        """
        async with self._turn:
            served = await self._serve(checkpoint)
            free = asyncio.Semaphore(min(self._max_in_flight, max(1, batch_size // max(1, decoding.num_samples))))

            async def one(index: int, prompt: Prompt) -> Completions:
                async with free:
                    return await self._complete(served.model, prompt, decoding, index)

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(index, prompt)) for index, prompt in enumerate(prompts)]
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
            await self._check_version(served)
            return [task.result() for task in tasks]

    async def _serve(self, checkpoint: Path) -> _Served:
        standing = self._served
        if standing is not None:
            await self._check_version(standing)
            if standing.checkpoint == checkpoint:
                return standing
        return await self._swap(checkpoint)

    async def _check_version(self, served: _Served) -> None:
        version = await self._server.weight_version()
        if version == served.version:
            return
        self._served = None
        why = "it was started again" if version == UNTOUCHED else "another client did it: give each evaluator a server of its own"
        raise Retryable(
            f"the weights of the model server at {self._url} were replaced (version {version!r} instead of {served.version!r}): {why}"
        )

    async def _swap(self, checkpoint: Path) -> _Served:
        model = await self._server.served_model()
        placed = await asyncio.to_thread(self._placement.place, checkpoint, model.root)
        version = await self._server.weight_version()
        if version == LOADING or await self._server.is_paused():
            log.warning("the model server was left in the middle of a load; it is loaded anew", url=self._url)
        elif version == UNTOUCHED:
            self._fingerprints = {model.root: await self._chat.fingerprint(model.id)}
        self._served = None
        self._num_swaps += 1
        version = f"spiral-{self._instance}-{self._num_swaps}"
        await self._server.load(placed, version)
        await self._check_answers(checkpoint, placed, await self._chat.fingerprint(model.id))
        self._served = _Served(checkpoint, version, model.id)
        log.info("the model server answers with another checkpoint", url=self._url, checkpoint=str(checkpoint), version=version)
        return self._served

    async def _check_answers(self, checkpoint: Path, placed: Path, fingerprint: Fingerprint) -> None:
        """Refuses weights that the server says it has taken, but does not answer with."""
        known = self._fingerprints.get(checkpoint, fingerprint)
        if len(known) != len(fingerprint) or any(abs(one - other) > _TOLERANCE for one, other in zip(known, fingerprint, strict=True)):
            raise Retryable(
                f"the model server at {self._url} answers otherwise than when it first had {checkpoint}: restart it, "
                "it holds weights of more than one checkpoint"
            )
        for other, known in self._fingerprints.items():
            if known == fingerprint and other != checkpoint and not await asyncio.to_thread(have_same_weights, other, placed):
                raise Retryable(
                    f"the model server at {self._url} says that it has loaded {checkpoint}, but answers as with {other}: restart it"
                )
        self._fingerprints.setdefault(checkpoint, fingerprint)

    async def _complete(self, model: str, prompt: Prompt, decoding: Decoding, index: int) -> Completions:
        sampling: dict[str, Any] = {"temperature": 0.0}
        if not decoding.is_greedy:
            sampling = {"temperature": decoding.temperature, "n": decoding.num_samples, "seed": _seed(decoding.seed, index)}
        try:
            image = await asyncio.to_thread(decode_image, prompt.image, max_pixels=self._max_image_pixels)
            return Completions(await self._chat.texts(model, image, prompt.text, max_tokens=decoding.max_new_tokens, **sampling))
        except (UnreadableImage, Refused) as error:
            return Completions((), str(error))


def _seed(seed: int, index: int) -> int:
    # Below the server's limit also when it adds the number of the sample.
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:8], "big") >> 2
