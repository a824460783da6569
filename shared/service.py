"""What a room is to the runtime: handlers that return what follows, and the ports that it is built from."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc.aio

from shared.artifacts import Artifacts
from shared.catalogue import Room
from shared.events import Event
from shared.ports import Activity, Cause, Delivery, KeyValue, Runs
from shared.registry import GeneratorRegistry
from shared.run_spec import RunSpec
from shared.settings import RoomSettings


@dataclass(frozen=True, slots=True)
class Keyed:
    """An event whose id derives from an explicit key, where its place among the consequences may vary (progress events)."""

    event: Event
    key: str


Handler = Callable[[Any, Delivery], Awaitable[Sequence[Event | Keyed]] | AsyncGenerator[Event | Keyed, None]]
"""Gets one event and returns the events that follow, or yields them to have each published at once.

Run again on the same event it returns the same events in the same order: their ids derive from the cause, the subject and their place
among those of their type.
"""


@dataclass(frozen=True, slots=True)
class Servicer:
    """A gRPC service: its full name, its generated `add_..._to_server` and its implementation."""

    name: str
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object


Reconcile = Callable[[RunSpec], Awaitable[Sequence[tuple[Cause, Sequence[Event | Keyed]]]]]
"""What stands in the store or ledger for a run, with its cause: the runtime says again what a crash kept from being said."""

Watch = Callable[[RunSpec], AsyncGenerator[tuple[Cause, Sequence[Event | Keyed]], None]]
"""Looks at a run about once a second and yields what follows from what it sees, with its cause.

It goes on after a `yield` once the streams hold those events; where the broker stays away it ends there, and the next look begins anew.
So it writes down what it decided before it speaks, and that it was said after. Most looks find nothing new, so they must be cheap.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A room, ready to run."""

    handlers: Mapping[type[Event], Handler]
    servicers: Sequence[Servicer] = ()
    reconcile: Reconcile | None = None
    watch: Watch | None = None
    """Called for every unfinished run while the room serves."""
    on_drain: Callable[[], Awaitable[None]] | None = None
    """Runs first when the room drains, whoever asked for it."""
    kind: str | None = None
    """Generators: the kind whose leases it takes."""
    is_idle: bool = False
    """It lacks something that it can't do without, so it takes no events; it stays healthy and says what it lacks in its activity."""
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """Coroutines that live as long as the service; one that fails ends the room."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a room is built from."""

    runs: Runs
    artifacts: Artifacts
    activity: Activity
    instance_id: str
    bucket: Callable[[str], Awaitable[KeyValue]]
    """Opens a bucket of durable values by name, and makes it where it does not exist."""
    channel: Callable[[Room], grpc.aio.Channel]
    """A channel to another room, at its address in the settings; the runtime closes it."""
    generators: GeneratorRegistry
    drain: Callable[[], None]
    """Lets the room finish what it holds, hand back the rest, and exit 0."""
    grpc_address: Callable[[], str]
    """Where others reach this room; known once its server has started, so from background coroutines and handlers."""


S = TypeVar("S", bound=RoomSettings)

Build = Callable[[Ports, S], AbstractAsyncContextManager[Service]]
"""Makes a room from its ports and settings; what it opens it closes on exit. Heavy libraries are imported in here."""
