"""What the planner reads from its environment."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import RoomSettings


class PlannerSettings(RoomSettings):
    """The planner's settings; how mixtures are planned stands in the run's own specification, not here."""

    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True)

    generator_patience_s: Annotated[float, Field(ge=0)] = 60.0
    """How long cells that no living generator serves are waited for, once nothing else of their plan is open; then they stay short."""
    start_difficulty: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Difficulty of the first lease of a cell that the model solves at most half of the time."""
    top_difficulty: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Difficulty of the first lease of a cell that the model always solves; between, it rises with the pass rate."""
