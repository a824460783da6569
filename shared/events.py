"""The events as values inside a room: twins of proto/spiral/v1/events.proto, which documents every field, in flow order."""

from dataclasses import dataclass

from shared.domain import (
    ArtifactRef,
    AuditVerdict,
    Cell,
    CellDiagnosis,
    CellQuota,
    CellShortfall,
    ClosingReason,
    EndReason,
    GeneratorIdentity,
    Lease,
    ModelVersion,
    PairedComparison,
    Recipe,
    Spend,
    Strategy,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Event:
    """What every event carries: the run, and the iteration that it belongs to (0 is the base model's evaluation)."""

    run_id: str
    iteration: int


@dataclass(frozen=True, slots=True)
class ModelUpdated(Event):
    """A checkpoint stands in the object store."""

    model: ModelVersion
    dataset: ArtifactRef | None = None


@dataclass(frozen=True, slots=True)
class EvaluationCompleted(Event):
    """Every probe was answered and graded."""

    model: ModelVersion
    answers: ArtifactRef
    exam_answers: ArtifactRef
    num_probes: int
    num_answers: int
    num_ungradable: int
    num_failed: int
    prompt_template: str


@dataclass(frozen=True, slots=True)
class WeaknessReport(Event):
    """Which cells are weak, how sure we are, why, and what changed since the parent model."""

    model: ModelVersion
    answers: ArtifactRef
    cells: tuple[CellDiagnosis, ...]
    comparison: PairedComparison | None = None


@dataclass(frozen=True, slots=True)
class MixturePlanned(Event):
    """How many accepted samples each cell gets."""

    base_model: ModelVersion
    strategy: Strategy
    quotas: tuple[CellQuota, ...]
    num_samples: int
    max_candidates: int
    replay_share: float
    held_back: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationRequested(Event):
    """A small lease: make up to n candidates for one cell."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class CandidatesGenerated(Event):
    """A lease's candidates stand in the object store."""

    lease: Lease
    candidates: ArtifactRef
    num_candidates: int
    generator: GeneratorIdentity
    spent: tuple[Spend, ...] = ()


@dataclass(frozen=True, slots=True)
class CandidatesReviewed(Event):
    """A verdict and a reason for each candidate of a lease."""

    lease: Lease
    review: ArtifactRef
    verdicts: tuple[Verdict, ...]
    generator: GeneratorIdentity
    spent: tuple[Spend, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanClosed(Event):
    """Every quota is met, or the budget is spent: seal the dataset."""

    reason: ClosingReason
    lease_ids: tuple[str, ...]
    shortfalls: tuple[CellShortfall, ...]
    base_model: ModelVersion
    replay_share: float
    held_back: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetReady(Event):
    """A sealed, content-addressed training set."""

    dataset: ArtifactRef
    base_model: ModelVersion
    num_samples: int
    replay_datasets: tuple[ArtifactRef, ...]
    replay_share: float
    held_back: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingProgressed(Event):
    """A training step's figures."""

    training_id: str
    recipe: Recipe
    step: int
    num_steps: int
    loss: float
    samples_per_s: float
    reward: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class ModelPromoted(Event):
    """The champion changed, or was kept, with the test that says so."""

    champion: ModelVersion
    challenger: ModelVersion
    is_promoted: bool
    explanation: str
    comparison: PairedComparison | None = None


@dataclass(frozen=True, slots=True)
class LabelAudited(Event):
    """A person said whether an accepted sample's label is right; of one sample the highest revision counts."""

    cell: Cell
    sample_id: str
    verdict: AuditVerdict
    auditor: str
    detail: str
    revision: int


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """Why the run ended, and with which champion."""

    reason: EndReason
    champion: ModelVersion
    explanation: str
