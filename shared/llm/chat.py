"""Chat: a question until its reply is of the type asked for, or it is clear that it will not be."""

import asyncio
from functools import partial
from typing import Any, TypeVar

import openai
from pydantic import BaseModel

from shared.llm.chat_body import ChatBody, Messages, chat_body, complaint, worst_case
from shared.llm.exchange import Order
from shared.llm.models_file import ModelChoice
from shared.llm.paid_replies import PaidReplies, Till
from shared.llm.port import Call, InvalidReply, Reply
from shared.llm.reply_cache import Kept
from shared.llm.roles import Role
from shared.llm.structure import Valid, judged, parsed
from shared.llm.wire_replies import Completion

M = TypeVar("M", bound=BaseModel)


async def ask(replies: PaidReplies, call: Call, kind: type[M], model: str | None) -> Reply[M]:
    """See `LanguageModels.ask`."""
    choice = replies.choice(call.role, model)
    endpoint = replies.config.endpoints[choice.endpoint_name]
    # Images are hashed and encoded: milliseconds that other calls need not wait for.
    body = await asyncio.to_thread(chat_body, call, kind, choice, endpoint)

    async def fetch(till: Till) -> Kept:
        return Kept(choice.model, await _valid_text(till, body, call.role, choice, kind, replies.tuning.num_reasks))

    paid = await replies.reply(
        body.digest,
        role=call.role,
        run_id=call.run_id,
        choice=choice,
        fetch=fetch,
        is_usable=lambda kept: isinstance(parsed(kept.text, kind), Valid),
    )
    outcome = parsed(paid.kept.text, kind)
    if not isinstance(outcome, Valid):
        raise InvalidReply(call.role, choice.model, outcome.reason, outcome.detail, paid.spent)
    return Reply(outcome.value, choice.model, body.digest, paid.is_cached, paid.spent)


async def _valid_text(till: Till, body: ChatBody, role: Role, choice: ModelChoice, kind: type[BaseModel], num_reasks: int) -> str:
    messages = body.messages
    num_left = num_reasks
    while True:
        send = partial(_send, messages=messages, fields=body.fields)
        completion = await till.get(Order(role, choice, worst_case(body, messages, choice), send, Completion))
        outcome = judged(completion.choices[0], kind)
        if isinstance(outcome, Valid):
            return outcome.text
        if outcome.reason == "refusal" or not num_left:
            raise InvalidReply(role, choice.model, outcome.reason, outcome.detail, till.paid.spend(role.value))
        num_left -= 1
        messages = [*messages, *complaint(outcome, kind)]


async def _send(client: openai.AsyncOpenAI, *, messages: Messages, fields: dict[str, Any]) -> bytes:
    create: Any = client.chat.completions.with_raw_response.create
    return bytes((await create(messages=messages, **fields)).content)
