"""What may go wrong between a model and whoever asks it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fault:
    """An answer that is not a plain one. Build it by one of the class methods."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    """Of a failed request, or of a garbled answer."""
    text: str | None = ""
    """What the model says."""
    refusal: str | None = None
    finish_reason: str = "stop"
    usage: Mapping[str, Any] | None = None
    """Billed instead of what the texts amount to."""
    has_usage: bool = True
    delay_s: float = 0.0
    hangs: bool = False
    drops: bool = False
    cuts_body: bool = False
    drip_interval_s: float = 0.0
    """Between two bytes of the answer."""
    is_garbled: bool = False

    @classmethod
    def failed(cls, status: int, *, retry_after: str | None = None, body: str = "") -> "Fault":
        """A status instead of an answer; `retry_after` in seconds or as an HTTP date."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return cls(status=status, headers=headers, body=body or f'{{"error": {{"message": "planted {status}", "code": {status}}}}}')

    @classmethod
    def hang(cls) -> "Fault":
        """Never answers; the connection stays open."""
        return cls(hangs=True)

    @classmethod
    def drop(cls) -> "Fault":
        """Closes the connection without an answer."""
        return cls(drops=True)

    @classmethod
    def cut_off(cls, text: str) -> "Fault":
        """Closes the connection in the middle of the answer's body."""
        return cls(text=text, cuts_body=True)

    @classmethod
    def garbled(cls, body: str = '{"choices": [{"mess') -> "Fault":
        """A 200 whose body is not what this protocol says."""
        return cls(is_garbled=True, body=body)

    @classmethod
    def truncated(cls, text: str) -> "Fault":
        """The model's text, ended by the limit of its length."""
        return cls(text=text, finish_reason="length")

    @classmethod
    def refuse(cls, why: str = "I can't help with that.") -> "Fault":
        """The model refuses, as OpenAI says it."""
        return cls(text=None, refusal=why)

    @classmethod
    def filtered(cls) -> "Fault":
        """A content filter ended the answer."""
        return cls(text="", finish_reason="content_filter")

    @classmethod
    def empty(cls) -> "Fault":
        """The model says nothing."""
        return cls(text=None)

    @classmethod
    def drip(cls, text: str, *, interval_s: float) -> "Fault":
        """Sends the answer byte by byte."""
        return cls(text=text, drip_interval_s=interval_s)

    @classmethod
    def late(cls, text: str, *, delay_s: float) -> "Fault":
        """A plain answer that takes its time."""
        return cls(text=text, delay_s=delay_s)

    @classmethod
    def billed(cls, text: str, *, num_input_tokens: int, num_output_tokens: int) -> "Fault":
        """A plain answer that is billed so."""
        usage = {
            "prompt_tokens": num_input_tokens,
            "completion_tokens": num_output_tokens,
            "total_tokens": num_input_tokens + num_output_tokens,
        }
        return cls(text=text, usage=usage)

    @classmethod
    def unbilled(cls, text: str) -> "Fault":
        """A plain answer that does not say what it costs."""
        return cls(text=text, has_usage=False)
