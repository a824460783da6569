"""Which generators live: they announce themselves with a heartbeat, and who falls silent is gone."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.domain import Cell, GeneratorIdentity, ImageCategory, QuestionType
from shared.ports import KeyValue

BUCKET = "spiral_generators"
EXPIRY_S = 10.0
"""An entry lives so long after its last announcement."""


@dataclass(frozen=True, slots=True)
class GeneratorEntry:
    """A living generator replica: what it serves, at which cost, and where."""

    generator: GeneratorIdentity
    cells: tuple[Cell, ...]
    unit_cost_s: float
    """Seconds of one core per candidate."""
    grpc_address: str
    is_draining: bool


class GeneratorRegistry:
    """The registry bucket as entries."""

    def __init__(self, bucket: Callable[[], Awaitable[KeyValue]]) -> None:
        self._bucket = bucket

    async def announce(self, entry: GeneratorEntry) -> None:
        """Makes a replica known for the next ten seconds; repeat every few."""
        await (await self._bucket()).put(_key(entry), _to_json(entry))

    async def withdraw(self, entry: GeneratorEntry) -> None:
        """Makes a replica unknown at once."""
        await (await self._bucket()).delete(_key(entry))

    async def living(self) -> list[GeneratorEntry]:
        """All replicas that announced themselves lately, ordered by kind and instance."""
        bucket = await self._bucket()
        entries = [await bucket.get(key) for key in await bucket.keys()]
        return [_from_json(entry.value) for entry in entries if entry is not None]


def _key(entry: GeneratorEntry) -> str:
    return f"{entry.generator.kind}.{entry.generator.instance_id}"


def _to_json(entry: GeneratorEntry) -> bytes:
    return json.dumps(
        {
            "kind": entry.generator.kind,
            "version": entry.generator.version,
            "instance_id": entry.generator.instance_id,
            "cells": [str(cell) for cell in entry.cells],
            "unit_cost_s": entry.unit_cost_s,
            "grpc_address": entry.grpc_address,
            "is_draining": entry.is_draining,
        }
    ).encode()


def _from_json(value: bytes) -> GeneratorEntry:
    fields = json.loads(value)
    cells = tuple(Cell(ImageCategory(category), QuestionType(kind)) for category, kind in (cell.split("/") for cell in fields["cells"]))
    return GeneratorEntry(
        generator=GeneratorIdentity(kind=fields["kind"], version=fields["version"], instance_id=fields["instance_id"]),
        cells=cells,
        unit_cost_s=fields["unit_cost_s"],
        grpc_address=fields["grpc_address"],
        is_draining=fields["is_draining"],
    )
