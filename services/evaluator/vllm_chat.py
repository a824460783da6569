"""Questions to a vLLM server over its OpenAI-compatible route, one prompt at a time."""

import asyncio
import base64
import io
from typing import Any

import httpx2
import openai
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import Retryable
from shared.prompt import conversation

_NUM_RETRIES = 3
_NUM_LOGPROBS = 20
_SHOWN_CHARS = 300
_REFUSALS = frozenset({400, 413, 422})
_FINISHED = frozenset({"stop", "length"})
# The server would take the checkpoint's own sampling habits for what a request leaves open.
_PLAIN = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}

Fingerprint = tuple[float, ...]
"""Log-probabilities of the likeliest first tokens of one fixed answer, sorted."""


class _Untrusted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Message(_Untrusted):
    content: str | None = None


class _Likely(_Untrusted):
    logprob: float


class _Token(_Untrusted):
    top_logprobs: list[_Likely]


class _Logprobs(_Untrusted):
    content: list[_Token]


class _Choice(_Untrusted):
    index: int = 0
    message: _Message
    finish_reason: str | None
    logprobs: _Logprobs | None = None


class _Answer(_Untrusted):
    choices: list[_Choice]


class Refused(Exception):
    """The server will never answer this prompt; the text says why."""


class VllmChat:
    """A server's answers. `Retryable` where it can't be asked; overload, 5xx and lost connections are tried a few times first."""

    def __init__(self, http: httpx2.AsyncClient, url: str, *, timeout_s: float) -> None:
        """Takes a client, the server's address without `/v1`, and how long one answer may take."""
        self._url = url
        self._client = openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", http_client=http, timeout=timeout_s, max_retries=_NUM_RETRIES
        )

    async def texts(self, model: str, image: Image.Image, text: str, *, max_tokens: int, **sampling: Any) -> tuple[str, ...]:
        """The answers to a prompt.

        Args:
            model: the name under which the server serves it.
            image: what is asked about.
            text: the rendered question.
            max_tokens: the longest answer.
            sampling: `temperature`, and `n` and `seed` where several answers are drawn.

        Raises:
            Refused: the server refuses this prompt, such as one longer than its context.
            Retryable: it can't be asked now.
        """
        choices = await self._ask(model, image, text, max_tokens, **sampling)
        return tuple((choice.message.content or "").strip() for choice in choices)

    async def fingerprint(self, model: str) -> Fingerprint:
        """What tells one checkpoint's answers from another's."""
        try:
            (choice,) = await self._ask(model, _test_image(), "What is shown?", 1, temperature=0.0, top_logprobs=_NUM_LOGPROBS)
        except Refused as error:
            raise Retryable(f"the model server at {self._url} refuses an image with a question: serve a vision model ({error})") from error
        if choice.logprobs is None or not choice.logprobs.content:
            raise Retryable(
                f"the model server at {self._url} gives no log-probabilities: start it with --max-logprobs {_NUM_LOGPROBS} or more"
            )
        return tuple(sorted(likely.logprob for likely in choice.logprobs.content[0].top_logprobs))

    async def _ask(self, model: str, image: Image.Image, text: str, max_tokens: int, **how: Any) -> list[_Choice]:
        url = await asyncio.to_thread(_data_url, image)
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                model=model,
                messages=_messages(text, url),
                max_completion_tokens=max_tokens,
                top_p=1.0,
                presence_penalty=0.0,
                frequency_penalty=0.0,
                logprobs="top_logprobs" in how,
                extra_body=_PLAIN,
                **how,
            )
            choices = _Answer.model_validate_json(raw.content).choices
        except openai.APIStatusError as error:
            if error.status_code in _REFUSALS:
                raise Refused(f"the model server refuses it: {error.message[:_SHOWN_CHARS]}") from error
            raise Retryable(
                f"the model server at {self._url} answers {error.status_code}: {error.message[:_SHOWN_CHARS]}; see its log"
            ) from error
        except openai.APIConnectionError as error:
            raise Retryable(
                f"the model server at {self._url} gave no answer: {error.message[:_SHOWN_CHARS]} See whether it runs, and its log"
            ) from error
        except ValidationError as error:
            raise Retryable(f"the model server at {self._url} answered something unreadable: {error.errors()[0]['msg']}") from error
        if len(choices) != how.get("n", 1) or not all(choice.finish_reason in _FINISHED for choice in choices):
            reasons = sorted({str(choice.finish_reason) for choice in choices})
            raise Retryable(f"the model server at {self._url} broke off an answer ({len(choices)} came, ended by {', '.join(reasons)})")
        return sorted(choices, key=lambda choice: choice.index)


def _messages(text: str, image: str) -> Any:
    messages: list[dict[str, Any]] = conversation(text)
    for message in messages:
        message["content"] = [
            {"type": "image_url", "image_url": {"url": image}} if part["type"] == "image" else part for part in message["content"]
        ]
    return messages


def _data_url(image: Image.Image) -> str:
    """The pixels that the in-process model sees, and nothing else that came with them."""
    sink = io.BytesIO()
    image.save(sink, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()


def _test_image() -> Image.Image:
    red = Image.linear_gradient("L").resize((64, 64))
    return Image.merge("RGB", (red, red.rotate(90), Image.radial_gradient("L").resize((64, 64))))
