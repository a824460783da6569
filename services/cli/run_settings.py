"""What `spiral run` was asked for, checked as a whole before anything starts; the run's id derives from it."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from services.cli.plain import plain
from shared.domain import Cell, CellWeight, ImageCategory, QuestionType, Strategy
from shared.errors import BadConfiguration
from shared.llm.roles import Role
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, SpendingSpec, TrainingSpec

RUN_ID = re.compile(r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")
MAX_ITERATIONS = 1000
RECIPES = ("by_cell", "sft", "grpo")
SECTIONS = ("evaluation", "planning", "quality", "training", "spending")
KIND = re.compile(r"[A-Za-z0-9_-]{1,64}")
ROLES = tuple(role.value for role in Role)

RANGES: dict[str, tuple[float, float]] = {
    "evaluation.num_samples_per_probe": (1, 1024),
    "evaluation.temperature": (0.01, 10),
    "evaluation.max_new_tokens": (1, 8192),
    "evaluation.batch_size": (1, 4096),
    "planning.num_samples": (1, 10_000_000),
    "planning.max_candidates": (1, 100_000_000),
    "planning.lease_size": (1, 10_000),
    "planning.floor_share": (0, 1),
    "planning.max_change_factor": (1.0001, 1e6),
    "planning.replay_share": (0, 0.99),
    "planning.reinforce_low": (0, 1),
    "planning.reinforce_high": (0, 1),
    "planning.promotion_alpha": (1e-9, 0.5),
    "planning.max_cell_regression": (0, 1),
    "planning.image_size_px": (32, 2048),
    "planning.annotate_share": (0, 1),
    "quality.num_rollouts": (1, 1024),
    "quality.pass_rate_low": (0, 1),
    "quality.pass_rate_high": (0, 1),
    "quality.max_image_bytes": (1, 1 << 30),
    "quality.max_image_pixels": (1, 1 << 30),
    "quality.num_blind_solvers": (2, 16),
    "quality.max_domain_share": (1e-6, 1),
    "quality.max_image_share": (1e-6, 1),
    "quality.audit_per_cell": (0, 10_000),
    "quality.min_label_precision": (0, 1),
    "training.sft_epochs": (1, 1000),
    "training.sft_batch_size": (1, 65_536),
    "training.sft_learning_rate": (1e-9, 1),
    "training.grpo_num_generations": (2, 1024),
    "training.grpo_batch_size": (2, 1_048_576),
    "training.grpo_max_steps": (1, 1_000_000),
    "training.grpo_learning_rate": (1e-9, 1),
    "training.save_every_steps": (1, 1_000_000),
    "training.max_new_tokens": (1, 8192),
    "spending.max_calls": (0, 1e12),
    "spending.max_tokens": (0, 1e15),
    "spending.max_cost_usd": (0, 1e9),
}
"""What each number may be, inclusive; the contract test holds it against the specification's fields."""


SINCE_V0_2_0 = frozenset(
    {
        *("planning.kind_shares", "planning.annotate_share"),
        *("quality.num_blind_solvers", "quality.max_domain_share", "quality.max_image_share", "quality.allowed_licences"),
        *("quality.audit_per_cell", "quality.min_label_precision"),
        *("spending.max_calls", "spending.max_tokens", "spending.max_cost_usd", "spending.role_limits"),
    }
)
"""Fields that were added since; they take part in a run's id only where they differ from their defaults."""


@dataclass(frozen=True, slots=True)
class ProbeCounts:
    """Probes to have drawn, per cell; `fresh` is for each evaluation."""

    core: int = 20
    fresh: int = 20
    exam: int = 40


@dataclass(frozen=True, slots=True)
class RunSettings:
    """A checked request for a run."""

    model: Path
    probes: Path | None
    seed: int
    num_iterations: int
    counts: ProbeCounts
    evaluation: EvaluationSpec
    planning: PlanningSpec
    quality: QualitySpec
    training: TrainingSpec
    spending: SpendingSpec = field(default_factory=SpendingSpec)


def check_sections(sections: Mapping[str, Any]) -> None:
    """Refuses what can't be meant, all faults at once.

    Raises:
        BadConfiguration: with one line for each fault.
    """
    faults = []
    for section, spec in sections.items():
        for known in dataclasses.fields(spec):
            name, value = f"{section}.{known.name}", getattr(spec, known.name)
            if name in RANGES and not RANGES[name][0] <= value <= RANGES[name][1]:
                faults.append(f"{name} is {value:g}: it must lie in [{RANGES[name][0]:g}, {RANGES[name][1]:g}]")
    planning, quality, training = sections["planning"], sections["quality"], sections["training"]
    if planning.max_candidates < planning.num_samples:
        faults.append(
            f"the budget of {planning.max_candidates} candidates can't give {planning.num_samples} accepted samples: raise --max-candidates"
        )
    if planning.reinforce_low > planning.reinforce_high:
        faults.append("planning.reinforce_low is above planning.reinforce_high")
    if quality.pass_rate_low > quality.pass_rate_high:
        faults.append("quality.pass_rate_low is above quality.pass_rate_high")
    if training.recipe not in RECIPES:
        faults.append(f"training.recipe is {training.recipe!r}: it must be one of {', '.join(RECIPES)}")
    if training.grpo_batch_size % training.grpo_num_generations:
        faults.append("training.grpo_batch_size must be a multiple of training.grpo_num_generations")
    if planning.strategy is Strategy.FIXED and not planning.fixed_weights:
        faults.append("--strategy fixed needs --fixed-weights FILE")
    if planning.strategy is not Strategy.FIXED and planning.fixed_weights:
        faults.append("--fixed-weights goes with --strategy fixed only")
    faults += [*_share_faults(planning), *_licence_faults(quality), *_limit_faults(sections["spending"])]
    if faults:
        raise BadConfiguration("\n".join(faults))


def _share_faults(planning: PlanningSpec) -> Iterator[str]:
    kinds = [share.kind for share in planning.kind_shares]
    for share in planning.kind_shares:
        if not KIND.fullmatch(share.kind):
            yield f"planning.kind_shares: {share.kind!r} is no kind: use 1 to 64 letters, digits, '-' or '_'"
        if not 0 <= share.share <= 1:
            yield f"planning.kind_shares: the share of {share.kind} is {share.share:g}: it must lie in [0, 1]"
    if len(set(kinds)) < len(kinds):
        yield "planning.kind_shares names a kind twice"
    if sum(share.share for share in planning.kind_shares) > 1 + 1e-9:
        yield "planning.kind_shares sum to more than 1"


def _licence_faults(quality: QualitySpec) -> Iterator[str]:
    for licence in quality.allowed_licences:
        if not licence or "*" in licence[:-1]:
            yield f"quality.allowed_licences: {licence!r} is none: write a name, with '*' for any ending at its end only"


def _limit_faults(spending: SpendingSpec) -> Iterator[str]:
    roles = [limit.role for limit in spending.role_limits]
    for limit in spending.role_limits:
        if limit.role not in ROLES:
            yield f"spending.role_limits: {limit.role!r} is no role: it must be one of {', '.join(ROLES)}"
        if any(cap is not None and cap < 0 for cap in (limit.max_calls, limit.max_tokens, limit.max_cost_usd)):
            yield f"spending.role_limits: a limit of {limit.role} is negative"
    if len(set(roles)) < len(roles):
        yield "spending.role_limits names a role twice"


class _Weights(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    weights: dict[str, float]


def read_fixed_weights(path: Path) -> tuple[CellWeight, ...]:
    """Weights from JSON: `{"chart_graph/numeric": 2.0, ...}`, relative to each other.

    Raises:
        BadConfiguration: no such file, no JSON, an unknown cell, a weight that is negative or not finite, or all of them zero.
    """
    try:
        weights = _Weights(weights=json.loads(path.read_text(encoding="utf-8"))).weights
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadConfiguration(f"--fixed-weights {path}: {error}") from error
    except ValidationError as error:
        raise BadConfiguration(f'--fixed-weights {path}: must be an object like {{"chart_graph/numeric": 2.0}}, weights finite') from error
    found = []
    for name, weight in sorted(weights.items()):
        try:
            category, kind = name.split("/")
            cell = Cell(ImageCategory(category), QuestionType(kind))
        except ValueError as error:
            raise BadConfiguration(f"--fixed-weights {path}: {name!r} is no cell, write CATEGORY/QUESTION_TYPE ({error})") from error
        if weight < 0:
            raise BadConfiguration(f"--fixed-weights {path}: the weight of {name} is negative")
        found.append(CellWeight(cell, weight))
    if not any(weight.weight for weight in found):
        raise BadConfiguration(f"--fixed-weights {path}: no weight is above zero")
    return tuple(found)


def settings_digest(settings: RunSettings, *, model_digest: str, probes_digest: str) -> str:
    """Equal for equal requests on equal inputs, wherever the files lie.

    Fields that v0.2.0 did not know are said only where they differ from their defaults, so that a run of that release keeps its id.
    """
    said = {
        "model": model_digest,
        "probes": probes_digest,
        "seed": settings.seed,
        "num_iterations": settings.num_iterations,
        "counts": None if settings.probes else plain(settings.counts),
        **{name: said for name in SECTIONS if (said := _said(name, getattr(settings, name)))},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _said(section: str, spec: Any) -> dict[str, Any]:
    values, defaults = plain(spec), plain(type(spec)())
    return {name: value for name, value in values.items() if value != defaults[name] or f"{section}.{name}" not in SINCE_V0_2_0}


def directory_digest(directory: Path) -> str:
    """SHA-256 over the paths and contents of all files below a directory."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(directory).as_posix()}\n{file_digest(path)}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
