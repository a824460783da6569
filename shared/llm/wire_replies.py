"""Answers of OpenAI-compatible servers, as far as they are read: untrusted until they are parsed; what they say beyond is passed over."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=0)]


class _Untrusted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Usage(_Untrusted):
    """What a call is billed for; images routes say it in other words than chat."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None

    @property
    def num_input_tokens(self) -> int | None:
        """None where it does not say."""
        return self.prompt_tokens if self.prompt_tokens is not None else self.input_tokens

    @property
    def num_output_tokens(self) -> int | None:
        """None where it does not say; embeddings have none."""
        return self.completion_tokens if self.completion_tokens is not None else self.output_tokens


class Message(_Untrusted):
    """What a chat model said."""

    content: str | None = None
    refusal: str | None = None


class Choice(_Untrusted):
    """One reply of a chat model."""

    message: Message
    finish_reason: str | None = None


class Completion(_Untrusted):
    """The answer of chat/completions."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None


class Embedding(_Untrusted):
    """One text's vector."""

    index: Count
    embedding: list[float] = Field(min_length=1)


class Embeddings(_Untrusted):
    """The answer of embeddings."""

    data: list[Embedding]
    usage: Usage | None = None


class EncodedImage(_Untrusted):
    """One image; addresses are not followed."""

    b64_json: str | None = None


class Images(_Untrusted):
    """The answer of images/edits."""

    data: list[EncodedImage] = Field(min_length=1)
    usage: Usage | None = None


class _Billed(_Untrusted):
    usage: Usage | None = None


Answer = TypeVar("Answer", Completion, Embeddings, Images)


def usage_of(body: bytes) -> Usage | None:
    """What any answer says that it is billed for; None where it says nothing, or is not JSON."""
    try:
        return _Billed.model_validate_json(body).usage
    except ValidationError:
        return None
