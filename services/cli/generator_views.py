"""The generators' census as tables and as JSON."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.generator_census import KindCensus, State, VersionCensus, replica_state
from services.cli.words import cost, duration, percent, words
from shared.domain import Cell

SCHEMA = "spiral.generators/2"
_COLOURS = {State.SERVING: "green", State.DRAINING: "yellow", State.PAUSED: "yellow", State.GONE: "red"}
_NUMBERS = ("replicas", "open leases", "made", "accepted", "rate", "per candidate", "per accepted")


def census_json(kinds: Sequence[KindCensus], run_ids: Sequence[str]) -> dict[str, Any]:
    """The census as JSON values."""
    return {
        "schema": SCHEMA,
        "run_ids": list(run_ids),
        "kinds": [
            {
                "kind": kind.kind,
                "state": kind.state.value,
                "is_paused": kind.is_paused,
                "num_open_leases": kind.num_open_leases,
                "waiting_since": _iso(kind.waiting_since_ns),
                "last_answer_at": _iso(kind.last_answer_ns),
                "cells": _cells_json(kind.cells),
                "versions": [_version_json(version) for version in kind.versions],
            }
            for kind in kinds
        ],
    }


def _version_json(version: VersionCensus) -> dict[str, Any]:
    return {
        "version": version.version,
        "state": version.state.value,
        "num_leases": version.num_leases,
        "num_candidates": version.num_candidates,
        "num_reviewed": version.num_reviewed,
        "num_accepted": version.num_accepted,
        "acceptance": version.acceptance,
        "unit_cost_s": version.unit_cost_s,
        "cost_per_accepted_s": version.cost_per_accepted_s,
        "replicas": [
            {
                "instance_id": replica.generator.instance_id,
                "grpc_address": replica.grpc_address,
                "state": replica_state(replica, is_paused=version.is_paused).value,
                "unit_cost_s": replica.unit_cost_s,
                "can_annotate": replica.can_annotate,
                "max_lease_size": replica.max_lease_size,
                "draws_probes": replica.draws_probes,
                "cells": _cells_json(replica.cells),
            }
            for replica in version.replicas
        ],
    }


def render_census(kinds: Sequence[KindCensus], run_ids: Sequence[str], *, now_ns: int) -> RenderableType:
    """The census as tables: kinds and versions, what is to be done, replicas."""
    if not kinds:
        return Text("no generator lives, and none ever did: start one with `spiral generators start`", style="red")
    title = f"Generators, in run {', '.join(run_ids)}" if run_ids else "Generators"
    table = _table(title, ("kind", "version", "state", "replicas", "cells", *_NUMBERS[1:]))
    for kind in kinds:
        for version in kind.versions:
            # A version without replicas beside one that lives was replaced: nothing is wrong.
            state = Text(version.state, style="dim" if version.state is State.GONE and kind.replicas else _COLOURS[version.state])
            rate = "" if version.acceptance is None else percent(version.acceptance)
            row = (_replicas(version), _num_cells(version), f"{kind.num_open_leases:,}", f"{version.num_candidates:,}")
            costs = (cost(version.unit_cost_s), cost(version.cost_per_accepted_s))
            table.add_row(kind.kind, version.version, state, *row, f"{version.num_accepted:,}", rate, *costs)
        if not kind.versions:
            table.add_row(kind.kind, "", Text(kind.state, style="red"), "0", "", f"{kind.num_open_leases:,}", "0", "0")
    parts: list[RenderableType] = [table]
    parts += [Text(line, style=_COLOURS[kind.state]) for kind in kinds if (line := _what_to_do(kind, now_ns))]
    parts += [Text(f"{kind.kind} serves {_in_words(kind.cells)}{_terms(kind)}", style="dim") for kind in kinds if kind.cells]
    replicas = _table("Replicas", ("instance", "kind", "version", "address", "state"))
    for kind in kinds:
        for replica in kind.replicas:
            maker, at = replica.generator, replica_state(replica, is_paused=kind.is_paused)
            address = replica.grpc_address or "none"
            replicas.add_row(maker.instance_id, maker.kind, maker.version, address, Text(at, style=_COLOURS[at]))
    return Group(*parts, *([replicas] if replicas.row_count else []))


def _what_to_do(kind: KindCensus, now_ns: int) -> str:
    if kind.state is State.GONE:
        last = "" if kind.last_answer_ns is None else f", last heard of {_ago(kind.last_answer_ns, now_ns)}"
        if kind.waiting_since_ns is None:
            return f"{kind.kind} has no living replica{last}; nothing waits for it"
        leases = f"{kind.num_open_leases} lease(s) wait, the oldest issued {_ago(kind.waiting_since_ns, now_ns)}"
        return f"{kind.kind} has no living replica{last}: {leases}. Start one; what another kind serves moves there by itself"
    if kind.is_paused:
        return f"{kind.kind} is paused: no new leases until `spiral generators resume {kind.kind}`"
    if kind.state is State.DRAINING:
        return f"{kind.kind} has only replicas that drain: start another, or its cells go to other kinds or wait"
    return ""


def _terms(kind: KindCensus) -> str:
    """What sets its leases apart, where anything does; a lease must suit each of its replicas."""
    limit = min((replica.max_lease_size for replica in kind.replicas if replica.max_lease_size), default=0)
    terms = [
        *(["annotates images as they are"] if all(replica.can_annotate for replica in kind.replicas) else []),
        *([f"at most {limit} candidates a lease"] if limit else []),
        *([] if all(replica.draws_probes for replica in kind.replicas) else ["draws no probes"]),
    ]
    return f"; {', '.join(terms)}" if terms else ""


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    return table


def _replicas(version: VersionCensus) -> str:
    num_draining = sum(replica.is_draining for replica in version.replicas)
    num_others = len(version.replicas) - num_draining
    return f"{num_others} + {num_draining} draining" if num_draining else str(num_others)


def _num_cells(version: VersionCensus) -> str:
    cells = {cell for replica in version.replicas for cell in replica.cells}
    return f"{len(cells)} of {len({cell.category for cell in cells})} categories" if cells else ""


def _in_words(cells: Sequence[Cell]) -> str:
    """Categories with the same question types together."""
    types: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        types[cell.category.value].append(words(cell.question_type.value))
    categories: dict[str, list[str]] = defaultdict(list)
    for category, asked in types.items():
        categories[", ".join(asked)].append(words(category))
    return "; ".join(f"{', '.join(names)} ({asked})" for asked, names in categories.items())


def _cells_json(cells: Sequence[Cell]) -> list[dict[str, str]]:
    return [{"category": cell.category.value, "question_type": cell.question_type.value} for cell in cells]


def _iso(at_ns: int | None) -> str | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds")


def _ago(at_ns: int, now_ns: int) -> str:
    at = datetime.fromtimestamp(at_ns / 1e9, UTC).astimezone()
    return f"{duration(max(0, now_ns - at_ns) / 1e9)} ago ({at:%Y-%m-%d %H:%M:%S})"
