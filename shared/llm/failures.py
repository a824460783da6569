"""What a failed exchange with an endpoint means: whether to ask again, who pays, and what to tell."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import httpx2
import openai

from shared.errors import Rejected, Retryable, SpiralError
from shared.llm.waits import retry_after_s
from shared.llm.wire_replies import Usage, usage_of

_OVERLOADED = frozenset({429, 503, 529})
_TRANSIENT = frozenset({408, 409, 425, 429})
_KEY_REFUSED = frozenset({401, 403})
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_SHOWN_CHARS = 300
_HIDDEN = "[key]"


class Payment(Enum):
    """What a failed exchange cost."""

    NOTHING = 0
    """The endpoint said so by its status, or never got the request."""
    UNKNOWN = 1
    """It may have answered, and the answer was lost: the worst case counts."""


class UnknownModel(Rejected):
    """An endpoint knows the model or the route not at all: no fault of what was asked, and the operator's to mend."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed exchange."""

    text: str
    is_final: bool = False
    """Asking again would fail again."""
    is_overload: bool = False
    is_timeout: bool = False
    is_key_refused: bool = False
    is_unknown_model: bool = False
    says_away: bool = True
    """It counts towards leaving the endpoint alone."""
    payment: Payment = Payment.NOTHING
    usage: Usage | None = None
    retry_after_s: float | None = None

    def error(self) -> SpiralError:
        """What is raised where it stays at that."""
        if self.is_unknown_model:
            return UnknownModel(self.text)
        return Rejected(self.text) if self.is_final else Retryable(self.text)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an exchange took place, in the words of the models file."""

    models_file: str
    endpoint: str
    url: str
    model_table: str
    model: str
    key: str | None

    def __str__(self) -> str:
        return f"the endpoint {self.endpoint!r} at {self.url}"

    def shown(self, text: str) -> str:
        """A text of the endpoint's, cut, on one line, and without our key should it be repeated there."""
        hidden = text.replace(self.key, _HIDDEN) if self.key else text
        return " ".join(hidden.split())[:_SHOWN_CHARS]


def timed_out(place: Place, timeout_s: float) -> Failure:
    """The deadline passed before the answer was complete."""
    return Failure(
        f"{place} did not complete its answer within {timeout_s:g} s: see its load, or raise [endpoints.{place.endpoint}] timeout_s",
        is_overload=True,
        is_timeout=True,
        payment=Payment.UNKNOWN,
    )


def unreadable(place: Place, what: str) -> Failure:
    """A success whose body is not what the protocol says."""
    return Failure(
        f"{place} answered something else than an OpenAI-compatible server does ({place.shown(what)}): see whether its url ends in /v1",
        payment=Payment.UNKNOWN,
    )


def lost(place: Place, error: openai.APIConnectionError, timeout_s: float) -> Failure:
    """No answer came: the connection could not be made, or broke."""
    cause = error.__cause__
    if isinstance(cause, _UNSENT):
        return Failure(f"{place} can't be reached ({type(cause).__name__}): see whether it runs")
    if isinstance(error, openai.APITimeoutError):
        return timed_out(place, timeout_s)
    return Failure(f"{place} broke off ({type(cause).__name__}): see its log", payment=Payment.UNKNOWN)


def refused(place: Place, error: openai.APIStatusError, *, now: datetime, max_retry_after_s: float) -> Failure:
    """An answer with a status of failure."""
    status = error.status_code
    body = error.body
    said = place.shown(str(body["message"]) if isinstance(body, dict) and "message" in body else error.response.text)
    if status in _KEY_REFUSED:
        key = f"{place.models_file}: [endpoints.{place.endpoint}] api_key_file"
        what = "put a valid key into the file that it names" if place.key else "it wants a key: name a file that holds it"
        return Failure(f"{place} refuses the key ({status}: {said}); {key}: {what}", is_key_refused=True)
    if status == httpx2.codes.NOT_FOUND:
        where = f"{place.models_file}: see [endpoints.{place.endpoint}] url and [models.{place.model_table}] model"
        text = f"{place} does not know the model {place.model!r} or the route ({said}); {where}"
        return Failure(text, is_final=True, says_away=False, is_unknown_model=True)
    if status in _TRANSIENT or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        return Failure(
            f"{place} answers {status} ({said})" + ("" if status in _OVERLOADED else ": see its log"),
            is_overload=status in _OVERLOADED,
            says_away=status not in _TRANSIENT,
            usage=usage_of(error.response.content),
            retry_after_s=retry_after_s(error.response.headers.get("retry-after"), now=now, most_s=max_retry_after_s),
        )
    # Servers say in their own words that they know no JSON schema, no seed, or no such limit.
    where = f"see supports_json_schema and output_limit_field in [endpoints.{place.endpoint}], unsupported in [models.{place.model_table}]"
    return Failure(
        f"{place} refuses the request to {place.model!r} ({status}: {said}); {where} of {place.models_file}", is_final=True, says_away=False
    )
