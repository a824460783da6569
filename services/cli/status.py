"""`spiral status`: who is there and well, how far everybody lags, and how far the runs are."""

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.local.state import StackInfo
from services.cli.progress import IterationProgress, RunProgress
from services.cli.record import read_records
from services.cli.session import Session
from services.cli.words import on_screen, words
from shared.history import ConsumerLag, consumer_lag
from shared.presence import Presence, present
from shared.rpc import open_channel

SCHEMA = "spiral.status/1"
HEALTH_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that `spiral status` shows."""

    rooms: tuple[tuple[Presence, str], ...]
    """Each process and its health: SERVING, NOT_SERVING, or UNREACHABLE."""
    lags: tuple[ConsumerLag, ...]
    runs: tuple[tuple[RunProgress, bool], ...]
    """Unfinished runs, else the latest; and whether it is finished."""
    num_dead: int
    left: tuple[str, ...] = ()
    """Rooms of the embedded stack that were drained: `generators.<kind>`."""


async def read_status(session: Session, stack: StackInfo | None) -> Status:
    """The state of the stack at this moment; `stack` is the embedded one, where it is that.

    Raises:
        Retryable: the broker is away.
    """
    rooms = await present(session.bus)
    healths = await asyncio.gather(*(health(room.grpc_address) for room in rooms))
    unfinished = await session.runs.unfinished()
    specs = unfinished or (await session.runs.all())[-1:]
    runs = []
    for spec in specs:
        progress = RunProgress(spec.run_id, spec.num_iterations)
        for record in await read_records(session, spec.run_id):
            progress.apply(record.event)
        runs.append((progress, spec not in unfinished))
    return Status(
        rooms=tuple(zip(rooms, healths, strict=True)),
        lags=tuple(await consumer_lag(session.bus)),
        runs=tuple(runs),
        num_dead=await session.num_dead_letters(),
        left=tuple(room.name for room in stack.rooms if room.has_left) if stack else (),
    )


async def health(address: str) -> str:
    """What a process answers to a gRPC health check of the whole server."""
    if not address:
        return "UNREACHABLE"
    async with open_channel(address) as channel:
        try:
            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return "UNREACHABLE"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def status_json(status: Status) -> dict[str, Any]:
    """The status as JSON values."""
    return {
        "schema": SCHEMA,
        "rooms": [{**dataclasses.asdict(room), "health": well} for room, well in status.rooms],
        "consumers": [{**dataclasses.asdict(lag), "room": lag.room.value} for lag in status.lags],
        "runs": [
            {
                "run_id": progress.run_id,
                "state": "finished" if is_finished else "running",
                "num_iterations": progress.num_iterations,
                "iterations": [_iteration_json(at) for _, at in sorted(progress.iterations.items())],
            }
            for progress, is_finished in status.runs
        ],
        "num_dead_letters": status.num_dead,
        "left": list(status.left),
    }


def _iteration_json(at: IterationProgress) -> dict[str, Any]:
    return {
        "iteration": at.iteration,
        "stage": at.stage,
        "wanted": at.wanted,
        "accepted": at.accepted,
        "rejected": dict(at.rejected),
        "pass_rate": at.pass_rate,
        "num_weak_cells": at.num_weak,
        "is_promoted": at.is_promoted,
    }


def render_status(status: Status) -> RenderableType:
    """The status as tables."""
    rooms = Table(title="Rooms", title_justify="left", box=None, pad_edge=False)
    for name in ("room", "health", "pid", "version", "address", "doing", "waiting", "in flight", "redelivered"):
        rooms.add_column(name, justify="right" if name in ("pid", "waiting", "in flight", "redelivered") else "left", overflow="fold")
    for room, well in status.rooms:
        mine = [lag for lag in status.lags if lag.room.value == room.room and lag.kind in (None, room.kind)]
        rooms.add_row(
            f"{room.room}.{room.kind}" if room.kind else room.room,
            Text(well.lower().replace("_", " "), style="green" if well == "SERVING" else "red"),
            str(room.pid),
            room.version,
            room.grpc_address,
            Text(on_screen(room.activity.what) or "idle"),
            str(sum(lag.num_pending for lag in mine)),
            str(sum(lag.num_in_flight for lag in mine)),
            str(sum(lag.num_redelivered for lag in mine)),
        )
    there = {f"{room.room}.{room.kind}" for room, _ in status.rooms}
    for name in status.left:
        hint = "" if name in there else "`spiral generators start` brings one back"
        rooms.add_row(name, Text("drained, gone", style="yellow"), "", "", "", hint)
    parts: list[RenderableType] = [rooms if rooms.row_count else Text("no room is present", style="red")]
    for progress, is_finished in status.runs:
        table = Table(
            title=f"Run {progress.run_id} ({'finished' if is_finished else 'running'})", title_justify="left", box=None, pad_edge=False
        )
        for name in ("iteration", "stage", "accepted", "rejected", "weak cells"):
            table.add_column(name, justify="left" if name == "stage" else "right")
        for iteration, at in sorted(progress.iterations.items()):
            accepted = f"{at.accepted:,}/{at.wanted:,}" if at.wanted else ""
            table.add_row(str(iteration), words(at.stage), accepted, f"{at.rejected.total():,}" if at.wanted else "", str(at.num_weak))
        parts.append(table)
    if status.num_dead:
        parts.append(Text(f"{status.num_dead} dead letter(s): `spiral dead list`", style="bold red"))
    return Group(*parts)
