"""`spiral generators`: which generators live, what they serve and what they cost."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.domain import GeneratorRegistration

SCHEMA = "spiral.generators/1"


def generators_json(entries: Sequence[GeneratorRegistration]) -> dict[str, Any]:
    """The registry as JSON values."""
    return {
        "schema": SCHEMA,
        "generators": [
            {
                "kind": entry.generator.kind,
                "version": entry.generator.version,
                "instance_id": entry.generator.instance_id,
                "grpc_address": entry.grpc_address,
                "unit_cost_s": entry.unit_cost_s,
                "is_draining": entry.is_draining,
                "cells": [{"category": cell.category.value, "question_type": cell.question_type.value} for cell in entry.cells],
            }
            for entry in entries
        ],
    }


def render_generators(entries: Sequence[GeneratorRegistration]) -> RenderableType:
    """The registry as a table."""
    if not entries:
        return Text("no generator lives")
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "version", "instance", "address", "cells", "cost per candidate", "state"):
        table.add_column(name)
    for entry in entries:
        categories = sorted({cell.category.value for cell in entry.cells})
        cells = f"{len(entry.cells)} in {', '.join(categories)}"
        state = "draining" if entry.is_draining else "serving"
        maker = entry.generator
        table.add_row(maker.kind, maker.version, maker.instance_id, entry.grpc_address, cells, f"{1000 * entry.unit_cost_s:.2f} ms", state)
    return table
