"""Requests as a script gets to see them: parsed, images decoded from their data URLs."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

_MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}


@dataclass(frozen=True)
class ChatRequest:
    """A question to a chat model."""

    model: str
    system: str
    texts: tuple[str, ...]
    """The texts of the first user message, in order."""
    images: tuple[bytes, ...]
    """The images of the first user message, in order."""
    schema_name: str
    schema: dict[str, Any]
    """From the response format, or from the last line of the prompt where the server takes none."""
    seed: int | None
    temperature: float | None
    later: tuple[tuple[str, str], ...] = ()
    """What followed the first user message: role and text."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The request as it came."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts to embed."""

    model: str
    texts: tuple[str, ...]
    body: Mapping[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class EditRequest:
    """An image to edit."""

    model: str
    prompt: str
    image: bytes
    seed: int | None
    fields: Mapping[str, str]
    headers: Mapping[str, str]


def chat_request(payload: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """A chat request from its body.

    Raises:
        ValueError: an image is no data URL, or not of the type that it names.
    """
    body = json.loads(payload)
    messages = body["messages"]
    system = "\n".join(message["content"] for message in messages if message["role"] == "system")
    others = [message for message in messages if message["role"] != "system"]
    parts = others[0]["content"]
    parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
    named = (body.get("response_format") or {}).get("json_schema")
    schema = named["schema"] if named else _schema_in_prompt(system)
    return ChatRequest(
        model=body["model"],
        system=system,
        texts=tuple(part["text"] for part in parts if part["type"] == "text"),
        images=tuple(_image(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"),
        schema_name=named["name"] if named else schema.get("title", ""),
        schema=schema,
        seed=body.get("seed"),
        temperature=body.get("temperature"),
        later=tuple((message["role"], _text(message["content"])) for message in others[1:]),
        body=body,
        headers=headers,
    )


def embedding_request(payload: bytes, headers: Mapping[str, str]) -> EmbeddingRequest:
    """An embeddings request from its body."""
    body = json.loads(payload)
    return EmbeddingRequest(body["model"], tuple(body["input"]), body, headers)


def edit_request(payload: bytes, headers: Mapping[str, str]) -> EditRequest:
    """An image edit request from its multipart body."""
    message = message_from_bytes(f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + payload, policy=HTTP)
    fields: dict[str, str] = {}
    image = b""
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if name == "image":
            image = value
        else:
            fields[str(name)] = value.decode()
    return EditRequest(fields["model"], fields["prompt"], image, int(fields["seed"]) if "seed" in fields else None, fields, headers)


def _schema_in_prompt(system: str) -> dict[str, Any]:
    last = system.rpartition("\n")[2]
    return json.loads(last) if last.startswith("{") else {}


def _image(url: str) -> bytes:
    head, _, encoded = url.partition(",")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    image = base64.b64decode(encoded, validate=True)
    if not image.startswith(_MAGIC[media_type]):
        raise ValueError(f"an image came as {head}, but begins with {image[:8]!r}")
    return image


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)
