"""What the agentic generator reads from its environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from shared.llm.settings import ModelSettings


class AgenticSettings(ModelSettings):
    """The agentic generator's settings; what to make stands in each lease, and which models are asked in the models file."""

    max_in_flight: Annotated[int, Field(ge=1, le=256)] = 16
    """Leases at a time. Their candidates are made at once; the limits of the endpoints bound the calls."""
    announce_every_s: Annotated[float, Field(gt=0, le=5)] = 3.0
    """The heartbeat in the registry, which forgets a generator after eight seconds of silence."""
    max_lease_size: Annotated[int, Field(ge=1, le=64)] = 8
    """The most candidates that a lease may ask of it."""
    unit_cost_prior_s: Annotated[float, Field(gt=0)] = 30.0
    """Seconds per candidate that it announces before it has measured any."""

    search_kind: Literal["serper", "searxng"] | None = None
    """The web image search; none where empty."""
    search_url: str = ""
    """SearXNG's address; Serper's own where empty."""
    search_key_file: Path | None = None
    """A file that holds Serper's key and nothing else."""
    search_engine_licences: dict[str, str] = Field(default_factory=dict)
    """SearXNG: JSON, the name of an engine to the licence that all its images have. An image of no stated licence is never used."""
    max_options: Annotated[int, Field(ge=1, le=16)] = 4
    """Images that are shown to a model at a time, to choose one."""
    pool_refresh_s: Annotated[float, Field(gt=0)] = 30.0
    """How often it looks for new images in the pool."""

    preview_max_calls: Annotated[int, Field(ge=0)] = 500
    """What candidates outside of leases may cost in all, over all previews that the broker remembers."""
    preview_max_tokens: Annotated[int, Field(ge=0)] = 5_000_000
    preview_max_cost_usd: Annotated[float, Field(ge=0)] = 1.0
