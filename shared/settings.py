"""What every room reads from its environment, and the one clear message when it is wrong.

Settings are built once, in `main`; nothing else reads the environment.
"""

import os
import socket
import uuid
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, FilePath, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.catalogue import Room
from shared.errors import BadConfiguration

_WILDCARDS = ("0.0.0.0", "::", "[::]")

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class RoomSettings(BaseSettings):
    """The settings that all rooms share; a room's own settings extend them. Every field is an environment variable `SPIRAL_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="SPIRAL_", extra="ignore", frozen=True)

    bus_url: Annotated[str, Field(repr=False)] = "nats://127.0.0.1:4222"
    """The NATS server, or several separated by commas; user and password may stand in the URL."""
    bus_credentials: FilePath | None = None
    """A NATS credentials file."""
    bus_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Copies of every stream and bucket; 3 in a cluster."""
    store_url: Annotated[str, Field(repr=False)]
    """Where objects live: `file:///absolute/directory` or `s3://KEY:SECRET@host:port/bucket`."""
    work_dir: Path = Path(".spiral/work")
    """Scratch space and cache; may be lost without loss."""

    instance_id: Token = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    """This process among its replicas."""
    start_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """How long a room waits at its start for the broker and the store to come up."""
    grace_s: Annotated[float, Field(ge=0)] = 20.0
    """How long a draining room lets its handlers finish before it hands their events back."""

    max_in_flight: Annotated[int, Field(ge=1, le=1024)] = 4
    """Events of one kind that this process handles at a time; 1 keeps their order."""
    ack_wait_s: Annotated[float, Field(ge=0.3)] = 30.0
    """After so long without a sign of life an event goes to another replica. Handlers may take longer: the runtime gives the sign."""
    max_deliver: Annotated[int, Field(ge=1)] = 5
    """Deliveries of an event that fails unexpectedly before it becomes a dead letter."""
    max_deliver_retryable: Annotated[int, Field(ge=1)] = 50
    """Deliveries of an event that fails for want of something else, or whose room dies, before it becomes a dead letter."""
    backoff_s: Annotated[float, Field(gt=0)] = 0.5
    """Wait before the second delivery; doubles with each further one."""
    max_backoff_s: Annotated[float, Field(gt=0)] = 30.0
    """The longest wait between two deliveries."""
    publish_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """How long an event waits to be said while the broker is away; then its cause is handled again later."""
    duplicate_window_s: Annotated[float, Field(ge=0.1)] = 120.0
    """How long the broker remembers event ids; past it the runtime looks into the stream."""

    grpc_host: str = "127.0.0.1"
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes a free port."""
    grpc_advertised_host: str = ""
    """The host name under which others reach this room; where empty `grpc_host`, or this machine's own name where that is a wildcard."""
    grpc_deadline_s: Annotated[float, Field(gt=0)] = 600.0
    """The longest that one call may take, also when the caller named no deadline."""
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Serves Prometheus metrics where set."""

    traces_exporter: str = ""
    """An installed OpenTelemetry exporter, such as `otlp`; none where empty."""

    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    log_format: Annotated[str, Field(pattern="^(json|console)$")] = "json"

    evaluator_address: str = ""
    attributor_address: str = ""
    planner_address: str = ""
    generators_address: str = ""
    quality_address: str = ""
    trainer_address: str = ""

    @field_validator("bus_url")
    @classmethod
    def _is_nats(cls, value: str) -> str:
        for url in value.split(","):
            parts = urlsplit(url)
            try:
                is_address = parts.scheme in ("nats", "tls", "ws", "wss") and parts.hostname and parts.port != 0
            except ValueError:
                # Its text would show what stands where the port should be: with a slash in a password, a part of that.
                is_address = False
            if not is_address:
                raise ValueError("must look like nats://host:port or nats://USER:PASSWORD@host:port, a password without / ? # or comma")
        return value

    @field_validator("store_url")
    @classmethod
    def _is_store(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("file", "s3", "s3+http", "s3+https"):
            raise ValueError("must look like file:///absolute/directory or s3://host:port/bucket")
        return value

    @field_validator("work_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def reachable_host(self) -> str:
        """The host under which others reach this room."""
        return self.grpc_advertised_host or (socket.gethostname() if self.grpc_host in _WILDCARDS else self.grpc_host)

    def prepare_work_dir(self) -> None:
        """Makes the work directory where it is missing.

        Raises:
            BadConfiguration: it can't be written.
        """
        reason = "not writable"
        try:
            self.work_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or reason
        if not os.access(self.work_dir, os.W_OK | os.X_OK):
            raise BadConfiguration(f"cannot work in {self.work_dir}: {reason}; name a writable directory in SPIRAL_WORK_DIR")

    def address(self, room: Room) -> str:
        """Where another room's gRPC server listens.

        Raises:
            BadConfiguration: nobody said so.
        """
        address: str = getattr(self, f"{room.value}_address", "")
        if not address:
            raise BadConfiguration(f"no address of the {room.value} is known: set SPIRAL_{room.value.upper()}_ADDRESS to host:port")
        return address


S = TypeVar("S", bound=RoomSettings)


def load(settings_type: type[S]) -> S:
    """Settings from the environment.

    Raises:
        BadConfiguration: one message that names every wrong variable and what it should be. Values are left out: some are secret.
    """
    environment_only: dict[str, Any] = {}
    try:
        return settings_type(**environment_only)
    except ValidationError as error:
        prefix = str(settings_type.model_config.get("env_prefix", ""))
        lines = [
            f"  {prefix}{'_'.join(str(part) for part in problem['loc'])}".upper() + f": {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise BadConfiguration("\n".join(["wrong settings in the environment:", *lines])) from None
