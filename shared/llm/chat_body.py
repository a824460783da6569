"""A question as the body of a chat request, with its digest and the most that it can cost."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from shared.errors import Rejected
from shared.llm.budget import Amount
from shared.llm.models_file import Endpoint, ModelChoice
from shared.llm.port import Call, Part
from shared.llm.structure import Invalid, schema_text, strict_schema
from shared.quoting import tame

_TOKENS_PER_MESSAGE = 16
"""Roles and separators that a chat template puts around a message."""
_TOKENS_PER_REQUEST = 64
_MAX_QUOTED_CHARS = 2000
_MEDIA_TYPES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ChatBody:
    """A chat request, but for its messages where it is asked again."""

    messages: Messages
    fields: dict[str, Any]
    """Everything else of the request."""
    digest: str
    """SHA-256 of all that the reply follows from."""
    num_images: int
    schema_bytes: int
    max_output_tokens: int


def chat_body(call: Call, kind: type[BaseModel], choice: ModelChoice, endpoint: Endpoint) -> ChatBody:
    """The request that asks a call of a model.

    Raises:
        Rejected: an image is neither PNG nor JPEG nor WEBP.
        TypeError: the class can't be said in strict mode, see `strict_schema`.
    """
    max_output_tokens = call.max_output_tokens or choice.max_output_tokens
    response_format, told_schema = _asked_for(kind) if endpoint.supports_json_schema else ({"type": "json_object"}, schema_text(kind))
    system = call.system if endpoint.supports_json_schema else f"{call.system}\n\n{_instruction(told_schema)}".strip()
    fields: dict[str, Any] = {
        "model": choice.model,
        "response_format": response_format,
        "temperature": call.temperature,
        "seed": call.seed,
        endpoint.output_limit_field: max_output_tokens,
    }
    fields = {name: value for name, value in fields.items() if name not in choice.unsupported}
    said = [("image", hashlib.sha256(part.image).hexdigest()) if part.image else ("text", part.text) for part in call.parts]
    told = json.dumps(["chat", fields, told_schema, system, said], sort_keys=True, ensure_ascii=True)
    head: Messages = [{"role": "system", "content": system}] if system else []
    return ChatBody(
        messages=[*head, {"role": "user", "content": _content(call.parts)}],
        fields=fields,
        digest=hashlib.sha256(told.encode()).hexdigest(),
        num_images=sum(bool(part.image) for part in call.parts),
        schema_bytes=len(told_schema),
        max_output_tokens=max_output_tokens,
    )


def complaint(invalid: Invalid, kind: type[BaseModel]) -> Messages:
    """What is said to a model after an unusable reply: its reply, and what was wrong."""
    # The reply may repeat what stands in an image.
    quoted = tame(invalid.text[:_MAX_QUOTED_CHARS].strip()) or "(nothing)"
    shorter = " Be much shorter." if invalid.reason == "truncated" else ""
    text = f"That can't be used: {tame(invalid.detail)}.{shorter} Reply again with one JSON object that matches the schema {kind.__name__}."
    return [{"role": "assistant", "content": quoted}, {"role": "user", "content": text}]


def worst_case(body: ChatBody, messages: Messages, choice: ModelChoice) -> Amount:
    """The most that a request can cost: a token has at least one byte, so a text has at most as many tokens as bytes."""
    num_text_bytes = sum(_num_text_bytes(message["content"]) for message in messages)
    num_input_tokens = (
        num_text_bytes
        + body.schema_bytes
        + body.num_images * choice.input_tokens_per_image
        + len(messages) * _TOKENS_PER_MESSAGE
        + _TOKENS_PER_REQUEST
    )
    return cost(choice, num_input_tokens, body.max_output_tokens)


def cost(choice: ModelChoice, num_input_tokens: int, num_output_tokens: int) -> Amount:
    """One call's price."""
    pico_usd = (
        choice.pico_usd_per_call + num_input_tokens * choice.pico_usd_per_input_token + num_output_tokens * choice.pico_usd_per_output_token
    )
    return Amount(1, num_input_tokens, num_output_tokens, pico_usd)


def media_type(image: bytes) -> str:
    """An encoded image's type, by its first bytes.

    Raises:
        Rejected: it is neither PNG nor JPEG nor WEBP.
    """
    for magic, name in _MEDIA_TYPES:
        if image.startswith(magic):
            return name
    raise Rejected(f"an image for a model must be PNG, JPEG or WEBP; this one begins with {image[:8]!r}")


@lru_cache(maxsize=256)
def _asked_for(kind: type[BaseModel]) -> tuple[dict[str, Any], str]:
    schema = strict_schema(kind)
    response_format = {"type": "json_schema", "json_schema": {"name": kind.__name__, "schema": schema, "strict": True}}
    return response_format, json.dumps(schema, sort_keys=True)


def _instruction(schema: str) -> str:
    return f"Reply with one JSON object and nothing else. It must match this JSON schema:\n{schema}"


def _content(parts: tuple[Part, ...]) -> str | Messages:
    # Servers of text-only models often know no parts.
    if len(parts) == 1 and parts[0].text:
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    if part.text:
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": f"data:{media_type(part.image)};base64,{base64.b64encode(part.image).decode()}"}}


def _num_text_bytes(content: str | Messages) -> int:
    if isinstance(content, str):
        return len(content.encode())
    return sum(len(part["text"].encode()) for part in content if part["type"] == "text")
