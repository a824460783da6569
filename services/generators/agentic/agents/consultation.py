"""How agents ask models: a prompt from a file, a typed reply, a bounded number of tries, and a record of what was asked and paid."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from services.generators.agentic.assignment import Assignment
from shared.domain import Spend
from shared.errors import Rejected
from shared.llm import Call, InvalidReply, LanguageModels, Part, Reply, Role
from shared.quoting import RULE, quoted

MAX_TRIES = 3
"""Asked at most so often for a reply that an agent can use; the port's own tries for a well-formed one not counted."""


class AgentReply(BaseModel):
    """A model's reply, parsed; one that says more or less than asked for is invalid."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


T = TypeVar("T", bound=AgentReply)
R = TypeVar("R")


async def _nothing(_: AgentReply) -> str | None:
    return None


class AgentFailed(Exception):
    """An agent could not do its part, so there will be no such candidate. Counted by role and reason."""

    def __init__(self, role: Role, reason: str, detail: str = "") -> None:
        super().__init__(f"{role.value}: {reason}" + (f" ({detail})" if detail else ""))
        self.role = role
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call that was answered; `digest` names the reply in the store, and is empty where it was unusable."""

    role: Role
    digest: str
    model: str
    is_cached: bool
    spent: Spend


class Consultation:
    """All calls for one candidate."""

    def __init__(self, models: LanguageModels, assignment: Assignment, records: list[CallRecord]) -> None:
        """Takes who is asked, for what, and where the calls are written down."""
        self._models = models
        self._assignment = assignment
        self.records = records

    def has(self, role: Role) -> bool:
        """Whether a model is configured for a role."""
        return bool(self._models.models(role))

    async def ask(
        self,
        role: Role,
        parts: Sequence[Part],
        schema: type[T],
        *,
        complaint: Callable[[T], Awaitable[str | None]] = _nothing,
        label: str = "",
        temperature: float = 0.0,
        prompt_name: str = "",
        is_lasting: bool = False,
    ) -> T:
        """A reply that nothing is said against.

        Args:
            role: who is asked.
            parts: what it gets to see.
            schema: the reply's type.
            complaint: what is wrong with a reply, in words for its author; None where nothing.
            label: tells calls of one role for one candidate apart.
            temperature: of the sampling; the seed follows from the assignment.
            prompt_name: the file in `prompts/` that instructs it; the role's own where empty.
            is_lasting: the reply holds for every assignment, so nothing of this one goes into the call.

        Raises:
            AgentFailed: no usable reply within the tries.
            BudgetSpent: the run has nothing left for it.
            Retryable: the endpoint is away.
        """
        said: list[Part] = []
        wrong = ""
        for number in range(MAX_TRIES):
            call = Call(
                role=role,
                run_id=self._assignment.run_id,
                system=prompt(prompt_name or role.value),
                parts=(*parts, *said),
                temperature=temperature,
                seed=number if is_lasting else self._assignment.draw(role.value, label, number),
            )
            reply = await self._recorded(role, self._models.ask(call, schema))
            wrong = await complaint(reply.value) or ""
            if not wrong:
                return reply.value
            # What is wrong is told with words of the reply in it.
            told = [quoted(reply.value.model_dump_json(), source="your previous reply"), quoted(wrong, source="why it can't be used")]
            said = [Part(text="\n".join([*told, "Reply anew."]))]
        raise AgentFailed(role, "unusable", wrong)

    async def embed(self, text: str) -> list[float]:
        """The text's vector, by the model that embeds the pool's captions.

        Raises:
            As `ask`.
        """
        reply = await self._recorded(Role.EMBED, self._models.embed([text], run_id=self._assignment.run_id))
        return reply.value[0]

    async def edit_image(self, image: bytes, prompt: str, *, seed: int) -> Reply[bytes]:
        """The image as a diffusion editor changed it.

        Raises:
            As `ask`.
        """
        return await self._recorded(Role.EDIT_IMAGE, self._models.edit_image(image, prompt, run_id=self._assignment.run_id, seed=seed))

    async def _recorded(self, role: Role, asked: Awaitable[Reply[R]]) -> Reply[R]:
        try:
            reply = await asked
        except InvalidReply as error:
            self.records.append(CallRecord(role, "", error.model, is_cached=False, spent=error.spent))
            raise AgentFailed(role, error.reason, str(error)) from error
        except Rejected as error:
            raise AgentFailed(role, "rejected", str(error)) from error
        self.records.append(CallRecord(role, reply.digest, reply.model, reply.is_cached, reply.spent))
        return reply


@cache
def prompt(name: str) -> str:
    """A system prompt, with the rule about text of others. It is the same for every call: what differs comes as data."""
    own = (resources.files("services.generators.agentic") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    return f"{own.strip()}\n\n{RULE}"
