"""What quality reads from its environment."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from shared.llm.settings import ModelSettings


class QualitySettings(ModelSettings):
    """Quality's settings; caps, window, licences, shares and rollouts stand in the run's own specification, not here."""

    pass_rate_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """How long the evaluator may take over one request for pass rates; after that the lease is reviewed again later."""
    window_confidence: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """How sure the posterior must be that a pass rate lies outside the window before a candidate is refused for it."""
    content_screen_url: Annotated[str, Field(repr=False)] = ""
    """A hook that looks at found images and their texts, see `screen_service`; without it only patterns of personal data are looked for."""
    content_screen_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """How long the hook may take over one candidate; after that the lease is reviewed again later."""

    @field_validator("content_screen_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("must look like http://host:port/path")
        return value
