"""Embeddings: vectors of texts, kept as one reply."""

import hashlib
import json
from array import array
from collections.abc import Sequence
from functools import partial

import openai

from shared.errors import Rejected
from shared.llm.chat_body import cost
from shared.llm.exchange import Order
from shared.llm.paid_replies import PaidReplies, Till
from shared.llm.port import InvalidReply, Reply
from shared.llm.reply_cache import Kept
from shared.llm.roles import Role
from shared.llm.wire_replies import Embeddings

_TOKENS_PER_TEXT = 8
_FLOAT = "f"

Vectors = list[list[float]]


async def embed(replies: PaidReplies, texts: Sequence[str], run_id: str) -> Reply[Vectors]:
    """See `LanguageModels.embed`; values have the precision of 32 bits, whether kept or new."""
    choice = replies.choice(Role.EMBED)
    if not texts or not all(texts):
        raise Rejected("an empty text has no embedding: leave it out")
    digest = hashlib.sha256(json.dumps(["embed", choice.model, list(texts)]).encode()).hexdigest()
    num_input_tokens = sum(len(text.encode()) + _TOKENS_PER_TEXT for text in texts)

    async def fetch(till: Till) -> Kept:
        order = Order(
            Role.EMBED, choice, cost(choice, num_input_tokens, 0), partial(_send, model=choice.model, texts=tuple(texts)), Embeddings
        )
        rows = sorted((await till.get(order)).data, key=lambda row: row.index)
        sizes = {len(row.embedding) for row in rows}
        if [row.index for row in rows] != list(range(len(texts))) or len(sizes) != 1:
            detail = f"{len(texts)} texts got {len(rows)} vectors of {sorted(sizes)} numbers"
            raise InvalidReply(Role.EMBED, choice.model, "schema", detail, till.paid.spend(Role.EMBED.value))
        flat = array(_FLOAT, [value for row in rows for value in row.embedding])
        return Kept(choice.model, blob=flat.tobytes())

    paid = await replies.reply(digest, role=Role.EMBED, run_id=run_id, choice=choice, fetch=fetch)
    return Reply(_vectors(paid.kept.blob, len(texts)), choice.model, digest, paid.is_cached, paid.spent)


def _vectors(blob: bytes, num: int) -> Vectors:
    flat: array[float] = array(_FLOAT, blob)
    size = len(flat) // num
    return [flat[start : start + size].tolist() for start in range(0, len(flat), size)]


async def _send(client: openai.AsyncOpenAI, *, model: str, texts: tuple[str, ...]) -> bytes:
    response = await client.embeddings.with_raw_response.create(model=model, input=list(texts), encoding_format="float")
    return bytes(response.content)
