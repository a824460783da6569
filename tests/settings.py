"""Settings for rooms under test."""

from pathlib import Path

from shared.settings import RoomSettings
from tests.broker import NatsServer


def room_settings(server: NatsServer, directory: Path, **changes: object) -> RoomSettings:
    """Settings with waits short enough to be waited for."""
    values: dict[str, object] = {
        "bus_url": server.url,
        "store_url": f"file://{directory}/objects",
        "work_dir": directory / "work",
        "start_timeout_s": 5.0,
        "grace_s": 5.0,
        "ack_wait_s": 1.0,
        "backoff_s": 0.05,
        "max_backoff_s": 0.2,
        "publish_timeout_s": 5.0,
        "max_deliver": 3,
        "max_deliver_retryable": 6,
        **changes,
    }
    return RoomSettings.model_validate(values)
