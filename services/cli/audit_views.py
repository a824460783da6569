"""The state of a run's audit as JSON and as a table."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.audit_drawing import Drawn
from services.cli.audit_labels import LabelCounts, label_counts, overall
from services.cli.audit_origin import maker_of
from services.cli.plain import plain
from services.cli.words import estimated, percent, words
from shared.events import LabelAudited
from shared.run_spec import RunSpec

SCHEMA = "spiral.audit/1"


def audit_json(
    spec: RunSpec, per_cell: int, drawn: Sequence[Drawn], last: Mapping[str, LabelAudited], images: Mapping[str, Path] | None = None
) -> dict[str, Any]:
    """Drawn samples with what was said of them, and the counts of every word on the run's labels, drawn or not.

    `images` are the files in which the images of samples stand, by sample id.
    """
    counts = label_counts(last)
    bound = spec.quality.min_label_precision
    return {
        "schema": SCHEMA,
        "run_id": spec.run_id,
        "per_cell": per_cell,
        "min_label_precision": bound,
        "samples": [_sample_json(each, last.get(each.sample.sample_id), (images or {}).get(each.sample.sample_id)) for each in drawn],
        "cells": [{"cell": plain(cell), **counts_json(of), "is_below_bound": of.is_below(bound)} for cell, of in counts.items()],
        "overall": counts_json(overall(counts.values())),
    }


def counts_json(counts: LabelCounts) -> dict[str, Any]:
    """Counts, precision and its interval."""
    return {**plain(counts), "num_audited": counts.num_audited, "precision": counts.precision, "interval": plain(counts.interval)}


def render_audit(spec: RunSpec, drawn: Collection[Drawn], last: Mapping[str, LabelAudited]) -> RenderableType:
    """Label precision by cell, and what is left to be seen."""
    counts, bound = label_counts(last), spec.quality.min_label_precision
    num_left = sum(each.sample.sample_id not in last for each in drawn)
    if not drawn and not last:
        return Text(f"Run {spec.run_id}: there is nothing to look at; no dataset that is sealed so far holds such samples", style="italic")
    head = Text(f"Labels of run {spec.run_id}: {len(last)} audited, {num_left} of {len(drawn)} drawn samples not seen yet", style="italic")
    if not counts:
        return head
    table = Table(box=None, pad_edge=False)
    for name in ("cell", "right", "wrong", "unsure", "precision", ""):
        table.add_column(name, justify="left" if name in ("cell", "") else "right")
    for cell, of in counts.items():
        # Whether it is held back, the planner decides with the next mixture, if there is one.
        note = f"surely below {percent(bound)}" if of.is_below(bound) else ""
        table.add_row(words(str(cell)), *_figures(of), Text(note, style="red"))
    table.add_section()
    table.add_row("all", *_figures(overall(counts.values())), "", style="bold")
    return Group(head, table)


def _figures(counts: LabelCounts) -> tuple[str, str, str, str]:
    precision = estimated(counts.precision, counts.interval.low, counts.interval.high)
    return (str(counts.num_correct), str(counts.num_wrong), str(counts.num_unsure), precision)


def _sample_json(drawn: Drawn, word: LabelAudited | None, image: Path | None) -> dict[str, Any]:
    sample = drawn.sample
    return {
        "iteration": drawn.iteration,
        "sample_id": sample.sample_id,
        "cell": plain(sample.cell),
        "maker": maker_of(sample),
        "image": str(image) if image else None,
        "question": sample.question,
        "choices": list(sample.choices),
        "answer": sample.answer,
        "tolerance": sample.tolerance,
        "verdict": word.verdict.value if word else None,
        "auditor": word.auditor if word else None,
        "note": word.detail if word else None,
        "revision": word.revision if word else 0,
    }
