"""The port to language models: what a room asks, and the four things that can come of it.

A reply of the type asked for, an `InvalidReply` (the model answered, but nothing usable), a `BudgetSpent` (nothing was called), or
`Retryable` (an endpoint is away). A request that an endpoint will never take is `Rejected`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from shared.domain import Spend
from shared.errors import SpiralError
from shared.llm.roles import Role

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

InvalidReason = Literal["refusal", "truncated", "schema", "empty"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message: a text, or an image as PNG, JPEG or WEBP bytes; exactly one of the two."""

    text: str = ""
    image: bytes = b""

    def __post_init__(self) -> None:
        if bool(self.text) == bool(self.image):
            raise ValueError("a part is a text or an image: give exactly one")


@dataclass(frozen=True, slots=True)
class Call:
    """A question to the model of a role. Equal calls share one reply, for good: vary `seed` where another one is wanted."""

    role: Role
    run_id: str
    """Whose budget pays."""
    system: str
    parts: tuple[Part, ...]
    temperature: float = 0.0
    max_output_tokens: int | None = None
    """The longest reply; where None what the models file says of the model."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A checked reply."""

    value: T
    model: str
    """The model's name as sent to its endpoint."""
    digest: str
    """Names the reply in the store: the manifest `llm/<digest>`."""
    is_cached: bool
    """It cost nothing now: it stood in the store, or an equal call that was under way brought it."""
    spent: Spend
    """What this call cost, re-asks included; zero where cached."""


class InvalidReply(SpiralError):
    """A model answered, but with nothing usable, also when told so: a typed failure of one call, never a default.

    It is neither `Retryable` nor `Rejected`: whoever asked decides what becomes of what it asked for.
    """

    def __init__(self, role: Role, model: str, reason: InvalidReason, detail: str, spent: Spend) -> None:
        super().__init__(f"{model}, asked as {role.value}, gave no usable reply ({reason}): {detail}")
        self.role = role
        self.model = model
        self.reason: InvalidReason = reason
        self.detail = detail
        self.spent = spent


class BudgetSpent(SpiralError):
    """The run, or the role in it, may not spend as much as the call could cost; nothing was called."""

    def __init__(self, run_id: str, role: Role, limit: str) -> None:
        super().__init__(f"the budget of run {run_id} does not allow another call as {role.value}: {limit}")
        self.run_id = run_id
        self.role = role
        self.limit = limit


class LanguageModels(Protocol):
    """The models of all roles."""

    def models(self, role: Role) -> tuple[str, ...]:
        """The names sent for a role; empty where none is configured."""

    async def ask(self, call: Call, schema: type[M], *, model: str | None = None) -> Reply[M]:
        """A reply of the given type.

        Args:
            call: the question.
            schema: what the reply must be; its JSON schema goes with the question, under the class's name.
            model: which of the role's models, by the name sent; the first where None.

        Raises:
            InvalidReply: no usable reply, after bounded re-asks that tell the model what was wrong.
            BudgetSpent: nothing was called.
            Retryable: the endpoint, the broker or the store is away.
            Rejected: the endpoint will never take the request; the text says what to change.
            BadConfiguration: the role has no model, or not that one.
        """

    async def embed(self, texts: Sequence[str], *, run_id: str) -> Reply[list[list[float]]]:
        """One vector for each text, from the model of the role `embed`; all go in one request, so a few dozen at most.

        Raises:
            As for `ask`.
        """

    async def edit_image(self, image: bytes, prompt: str, *, run_id: str, seed: int) -> Reply[bytes]:
        """An image (PNG, JPEG or WEBP) changed as a text says, by the model of the role `edit_image`.

        Raises:
            As for `ask`.
        """

    @property
    def away(self) -> str:
        """Why an endpoint that a role needs is known to be away, in words; empty where none is, or when it is time to try it."""

    async def knock(self) -> None:
        """Finds out whether endpoints that were never asked, or were away, can be reached; calls no model and costs nothing."""
