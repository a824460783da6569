"""What the attributor reads from its environment."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import RoomSettings


class AttributorSettings(RoomSettings):
    """The attributor's settings."""

    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True)

    interval_level: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    """Coverage of every interval."""
    false_discovery_rate: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Share of the claimed weaknesses that may be wrong, in expectation."""
