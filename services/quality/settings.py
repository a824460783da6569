"""What quality reads from its environment."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import RoomSettings


class QualitySettings(RoomSettings):
    """Quality's settings; caps, window and rollouts stand in the run's own specification, not here."""

    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True)

    pass_rate_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """How long the evaluator may take over one request for pass rates; after that the lease is reviewed again later."""
    window_confidence: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """How sure the posterior must be that a pass rate lies outside the window before a candidate is refused for it."""
