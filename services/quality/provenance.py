"""The provenance of a candidate whose answer no scene proves, parsed. Its maker wrote it, so it says what is claimed, not what is.

Keys that are not read here belong to the dataset's readers, and are passed over.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from shared.quoting import visible

MAX_CHARS = 400_000

_POOL = "pool"
_ASKER = "ask"
"""The role whose model wrote question and label, see `shared.llm.roles`."""


class ProvenanceUnreadable(Exception):
    """No provenance, or a malformed one; the text says where."""


class _Parsed(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Source(_Parsed):
    """Where the image was found, before anybody edited it."""

    origin: Annotated[str, Field(min_length=1, max_length=40)]
    """`pool` or `web`."""
    image_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the image as it was taken in."""
    licence: Annotated[str, Field(max_length=200)] = ""
    domain: Annotated[str, Field(max_length=253, pattern=r"^[^\s|<>]*$")] = ""
    """Of the page that shows it, or of the image; only the pool may have none."""

    @property
    def shared_domain(self) -> str:
        """The domain whose share is limited; empty for the pool, which holds what the operator chose, be it of one domain."""
        return "" if self.origin == _POOL else self.domain

    @field_validator("domain")
    @classmethod
    def _one_spelling(cls, value: str) -> str:
        return value.strip().casefold().rstrip(".").removeprefix("www.")

    @model_validator(mode="after")
    def _names_its_domain(self) -> "Source":
        # Without one no share could be counted.
        if self.origin != _POOL and not self.domain:
            raise ValueError(f"must name a domain where the origin is {self.origin!r}")
        return self

    @field_validator("licence")
    @classmethod
    def _without_margin(cls, value: str) -> str:
        return " ".join(visible(value).split())


class Provenance(_Parsed):
    """What the checks read."""

    source: Source
    models: dict[str, str]
    """Role to the name of the model that filled it."""

    @field_validator("models")
    @classmethod
    def _names_the_asker(cls, value: dict[str, str]) -> dict[str, str]:
        if not value.get(_ASKER, "").strip():
            raise ValueError(f"must name the model of the role {_ASKER!r}")
        return value

    @property
    def asker(self) -> str:
        """The model that wrote question and label."""
        return self.models[_ASKER].strip()

    def is_asker(self, model: str) -> bool:
        """Whether a model is the one that asked."""
        return model.strip().casefold() == self.asker.casefold()


def parse_provenance(text: str) -> Provenance:
    """What a candidate's provenance says of its source and its models.

    Raises:
        ProvenanceUnreadable: there is none, or it lacks what a found image has to say.
    """
    if not text.strip():
        raise ProvenanceUnreadable("no provenance is attached, and no scene proves the answer")
    if len(text) > MAX_CHARS:
        raise ProvenanceUnreadable(f"the provenance has {len(text):,} characters, more than {MAX_CHARS:,}")
    try:
        return Provenance.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ProvenanceUnreadable(f"provenance: {where + ': ' if where else ''}{problem['msg']}") from error
