"""What the rendered generator reads from its environment."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import RoomSettings


class RenderedSettings(RoomSettings):
    """The rendered generator's settings; what to draw stands in each lease."""

    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True)

    max_in_flight: Annotated[int, Field(ge=1, le=64)] = 2
    """Leases at a time; drawing shares one core."""
    announce_every_s: Annotated[float, Field(gt=0, le=5)] = 3.0
    """The heartbeat in the registry, which forgets a generator after eight seconds of silence."""
