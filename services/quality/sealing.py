"""Which accepted samples make the dataset, in which order, and what its card says. Pure.

The order is that of the plan's leases, then that within each lease. A sample that an earlier lease brought already, pixel by pixel and
word by word, is left out. A short set stays short: nothing that was refused ever fills it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.domain import Cell, CellShortfall, ClosingReason, GeneratorIdentity
from shared.tables import SAMPLES, Sample

_LICENCE_KEYS = ("licence", "license")


@dataclass(frozen=True, slots=True)
class ReviewedLease:
    """A lease's accepted samples with their exact digests, and what became of the rest."""

    lease_id: str
    generator: GeneratorIdentity
    samples: tuple[Sample, ...]
    exact: Mapping[str, str]
    """Sample id to digest over pixels, question, choices and answer."""
    rejected: Mapping[str, int]
    """Reason to count."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A dataset in its final order, and how many samples were left out as copies across leases."""

    samples: tuple[Sample, ...]
    num_copies: int


def dataset_name(run_id: str, iteration: int) -> str:
    """The manifest of an iteration's dataset."""
    return f"runs/{run_id}/{iteration}/dataset"


def seal(leases: Sequence[ReviewedLease]) -> Sealed:
    """The samples of all leases in order, the first of equal ones kept."""
    seen: set[str] = set()
    samples = []
    for lease in leases:
        for sample in lease.samples:
            marks = {f"id {sample.sample_id}", f"content {lease.exact[sample.sample_id]}"}
            if seen.isdisjoint(marks):
                samples.append(sample)
            seen |= marks
    return Sealed(tuple(samples), sum(len(lease.samples) for lease in leases) - len(samples))


def licences(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples bear each licence, by their provenance; most frequent first."""
    counts = Counter(_licence(sample.provenance) for sample in samples)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _licence(provenance: str) -> str:
    try:
        told = json.loads(provenance)
    except ValueError:
        return "not stated"
    found = next((told[key] for key in _LICENCE_KEYS if isinstance(told, dict) and told.get(key)), None)
    return str(found) if found else "not stated"


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
    """The dataset's README.md: what it holds, how it came about, under which licences."""
    by_cell: defaultdict[Cell, list[Sample]] = defaultdict(list)
    for sample in sealed.samples:
        by_cell[sample.cell].append(sample)
    rejected: Counter[str] = Counter()
    for lease in leases:
        rejected.update(lease.rejected)
    makers = sorted({(lease.generator.kind, lease.generator.version) for lease in leases})
    held = licences(sealed.samples)
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
        *_table(
            ("category", "question type", "recipe", "samples", "pass rate of the base model"),
            [_row(c, by_cell[c]) for c in sorted(by_cell)],
        ),
        "",
        "## Checks",
        "",
        "Every sample has the shape of its question type, an image that decodes, an answer that was derived again from its scene",
        "without the maker's code, and the category and question type that were asked for. It is no copy or near-copy of a probe, an",
        "exam item, or an earlier sample. Samples to be reinforced lie in the window on the base model's pass rate.",
        "",
        *_table(("refused because", "candidates"), [(reason, str(count)) for reason, count in sorted(rejected.items())]),
        "",
        f"Left out as exact copies across cells: {sealed.num_copies}.",
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
        "answer follows from.",
        "",
        *_table(("licence", "samples"), [(licence, str(count)) for licence, count in held.items()]),
        "",
        "## Columns",
        "",
        *_table(("column", "type"), [(f"`{field.name}`", str(field.type).replace("|", "\\|")) for field in SAMPLES]),
        "",
    ]
    return "\n".join(lines)


def _row(cell: Cell, samples: Sequence[Sample]) -> tuple[str, ...]:
    recipes = ", ".join(sorted({sample.recipe.value for sample in samples}))
    asked = [sample.pass_rate for sample in samples if sample.pass_rate is not None]
    mean = f"{sum(asked) / len(asked):.2f}" if asked else "not asked"
    return cell.category.value, cell.question_type.value, recipes, str(len(samples)), mean


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
