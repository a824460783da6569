"""A dataset's README.md: what it holds, how its labels were checked, where its images come from. Pure; it says no more than was done."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from services.quality.provenance import ProvenanceUnreadable, parse_provenance
from services.quality.sealing import ReviewedLease, Sealed
from shared.domain import Cell, CellShortfall, ClosingReason, RejectionReason
from shared.tables import SAMPLES, Sample

T = TypeVar("T", str, tuple[str, str])

_LICENCE_KEYS = ("licence", "license")
_NOT_STATED = "not stated"

_PROVED = """\
{num:,} labels are proved: the answer was derived again from the scene that the image was drawn from, without the maker's code."""
_AGREED = """\
{num:,} labels are agreed, not proved: no scene stands behind these images. A model that saw only the question did not come to the label;
a model that saw the image put it into the category; several models other than the one that asked solved the question without seeing the
label, and all of them came to it; patterns of personal data were not found. The licence of each source was stated, and no domain and no
image supplies more than the run's share. Models err together, so some of these labels are wrong: the run's report says what people who
looked at a part of them found."""


def licences(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples bear each licence, by their provenance; most frequent first."""
    return _counted(_licence(sample) for sample in samples)


def sources(samples: Sequence[Sample]) -> dict[tuple[str, str], int]:
    """How many samples whose answer no scene proves come from each domain (or collection) under each licence; most frequent first."""
    return _counted(_source(sample) for sample in samples if not sample.scene)


def dataset_card(
    *,
    run_id: str,
    iteration: int,
    base_model_id: str,
    reason: ClosingReason,
    shortfalls: Sequence[CellShortfall],
    leases: Sequence[ReviewedLease],
    sealed: Sealed,
) -> str:
    """The text of the card."""
    makers = sorted({(lease.generator.kind, lease.generator.version) for lease in leases})
    lines = [
        "---",
        "task_categories: [visual-question-answering]",
        "configs: [{config_name: default, data_files: samples.parquet}]",
        "---",
        "",
        f"# Practice for {run_id}, iteration {iteration}",
        "",
        f"{len(sealed.samples):,} questions on images, made for what `{base_model_id}` is weak at and checked one by one. Sealed: the set",
        "is never changed or refilled.",
        "",
        f"The plan was closed because: {reason.value.replace('_', ' ')}.",
        "",
        *_cells(sealed.samples),
        *_checks(leases, sealed),
    ]
    if shortfalls:
        short = [(str(s.cell), str(s.num_wanted), str(s.num_accepted)) for s in shortfalls]
        lines += ["", "## Cells that stayed short", "", *_table(("cell", "wanted", "accepted"), short)]
    lines += [
        "",
        "## Provenance and licence",
        "",
        f"Made by {', '.join(f'{kind} {version}' for kind, version in makers)} over {len(leases)} leases. `provenance` names",
        "maker, seed and sources of each sample, `lease_id` the request that it answers, `scene` the objects and the query that its",
        "answer follows from; it is empty where no scene proves the answer.",
        "",
        *_table(("licence", "samples"), [(licence, str(count)) for licence, count in licences(sealed.samples).items()]),
        *_sources(sealed.samples),
        "",
        "## Columns",
        "",
        *_table(("column", "type"), [(f"`{field.name}`", str(field.type)) for field in SAMPLES]),
        "",
    ]
    return "\n".join(lines)


def _cells(samples: Sequence[Sample]) -> list[str]:
    by_cell: defaultdict[Cell, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_cell[sample.cell].append(sample)
    head = ("category", "question type", "recipe", "samples", "pass rate of the base model", "labels proved", "labels agreed")
    return _table(head, [_cell_row(cell, by_cell[cell]) for cell in sorted(by_cell)])


def _cell_row(cell: Cell, samples: Sequence[Sample]) -> tuple[str, ...]:
    recipes = ", ".join(sorted({sample.recipe.value for sample in samples}))
    asked = [sample.pass_rate for sample in samples if sample.pass_rate is not None]
    mean = f"{sum(asked) / len(asked):.2f}" if asked else "not asked"
    num_proved = sum(bool(sample.scene) for sample in samples)
    counts = (str(num_proved), str(len(samples) - num_proved))
    return cell.category.value, cell.question_type.value, recipes, str(len(samples)), mean, *counts


def _checks(leases: Sequence[ReviewedLease], sealed: Sealed) -> list[str]:
    rejected: Counter[str] = Counter()
    for lease in leases:
        rejected.update(lease.rejected)
    num_proved = sum(bool(sample.scene) for sample in sealed.samples)
    told = [(_PROVED, num_proved), (_AGREED, len(sealed.samples) - num_proved)]
    lines = [
        "",
        "## Checks",
        "",
        "Every sample has the shape of its question type, an image that decodes, and the category and question type that were asked for.",
        "It is no copy or near-copy of a probe, an exam item, an item of a registered benchmark, or an earlier sample. Samples to be",
        "reinforced lie in the window on the base model's pass rate.",
    ]
    for text, num in told:
        lines += ["", *text.format(num=num).splitlines()] if num else []
    lines += ["", *_table(("refused because", "candidates"), [(reason, str(count)) for reason, count in sorted(rejected.items())])]
    if num_doubted := rejected[RejectionReason.QUARANTINED.value]:
        lines += [
            "",
            f"Kept aside for people, for models agreed on another answer than the label: {num_doubted}. They are no part of this set.",
        ]
    return [*lines, "", f"Left out as exact copies across cells: {sealed.num_copies}."]


def _sources(samples: Sequence[Sample]) -> list[str]:
    rows = [(domain, licence, str(count)) for (domain, licence), count in sources(samples).items()]
    return ["", "Where found images come from:", "", *_table(("source", "licence", "samples"), rows)] if rows else []


def _source(sample: Sample) -> tuple[str, str]:
    try:
        found = parse_provenance(sample.provenance).source
    except ProvenanceUnreadable:
        return _NOT_STATED, _NOT_STATED
    return found.domain or found.origin, found.licence or _NOT_STATED


def _licence(sample: Sample) -> str:
    if not sample.scene:
        found = _source(sample)[1]
        if found != _NOT_STATED:
            return found
    try:
        told = json.loads(sample.provenance)
    except ValueError:
        return _NOT_STATED
    named = next((told[key] for key in _LICENCE_KEYS if isinstance(told, dict) and told.get(key)), None)
    return str(named) if named else _NOT_STATED


def _counted(values: Iterable[T]) -> dict[T, int]:
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    # Sources and licences are a stranger's words; a bar would end their cell.
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in (head, ["---"] * len(head), *rows)]
