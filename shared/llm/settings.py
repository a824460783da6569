"""What a room reads from its environment when it may call language models."""

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from shared.settings import RoomSettings


class ModelSettings(RoomSettings):
    """The settings of a room that calls language models where they are configured."""

    # Composition hands on variables that nobody set as empty ones.
    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True, env_ignore_empty=True)

    models_file: Path | None = None
    """A TOML file that says which language models fill which roles, see `shared.llm.models_file`; none are called without it."""
