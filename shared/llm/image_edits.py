"""Image edits by a model: images/edits of OpenAI-compatible servers, such as those that serve Qwen-Image-Edit."""

import hashlib
import json
from base64 import b64decode
from typing import Any

import openai

from shared.errors import Rejected
from shared.llm.chat_body import cost, media_type
from shared.llm.exchange import Order
from shared.llm.models_file import ModelChoice
from shared.llm.paid_replies import PaidReplies, Till
from shared.llm.port import InvalidReply, Reply
from shared.llm.reply_cache import Kept
from shared.llm.roles import Role
from shared.llm.wire_replies import EncodedImage, Images

_MAX_IMAGE_BYTES = 64_000_000
_TOKENS_PER_REQUEST = 64


async def edit_image(replies: PaidReplies, image: bytes, prompt: str, run_id: str, seed: int) -> Reply[bytes]:
    """See `LanguageModels.edit_image`; the image that comes back is untrusted bytes of a known format."""
    choice = replies.choice(Role.EDIT_IMAGE)
    image_type = media_type(image)
    fields: dict[str, Any] = {"model": choice.model, "prompt": prompt, "response_format": "b64_json", "seed": seed}
    fields = {name: value for name, value in fields.items() if name not in choice.unsupported}
    told = json.dumps(["edit_image", fields, hashlib.sha256(image).hexdigest()], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()
    num_input_tokens = len(prompt.encode()) + choice.input_tokens_per_image + _TOKENS_PER_REQUEST
    worst = cost(choice, num_input_tokens, choice.max_output_tokens)

    async def send(client: openai.AsyncOpenAI) -> bytes:
        edit: Any = client.images.with_raw_response.edit
        more = {"seed": fields["seed"]} if "seed" in fields else None
        named = {name: value for name, value in fields.items() if name != "seed"}
        file = (f"image.{image_type.rpartition('/')[2]}", image, image_type)
        return bytes((await edit(image=file, n=1, extra_body=more, **named)).content)

    async def fetch(till: Till) -> Kept:
        answer = await till.get(Order(Role.EDIT_IMAGE, choice, worst, send, Images))
        return Kept(choice.model, blob=_decoded(answer.data[0], choice, till))

    paid = await replies.reply(digest, role=Role.EDIT_IMAGE, run_id=run_id, choice=choice, fetch=fetch)
    return Reply(paid.kept.blob, choice.model, digest, paid.is_cached, paid.spent)


def _decoded(encoded: EncodedImage, choice: ModelChoice, till: Till) -> bytes:
    spent = till.paid.spend(Role.EDIT_IMAGE.value)
    if not encoded.b64_json:
        detail = "it sent no image in b64_json, and addresses are not followed: have it send the image itself"
        raise InvalidReply(Role.EDIT_IMAGE, choice.model, "empty", detail, spent)
    if len(encoded.b64_json) > _MAX_IMAGE_BYTES * 4 // 3:
        raise InvalidReply(Role.EDIT_IMAGE, choice.model, "schema", f"the image has more than {_MAX_IMAGE_BYTES} bytes", spent)
    try:
        image = b64decode(encoded.b64_json, validate=True)
        media_type(image)
    except (ValueError, Rejected) as error:
        raise InvalidReply(Role.EDIT_IMAGE, choice.model, "schema", f"it sent no image: {error}", spent) from error
    return image
