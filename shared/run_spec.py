"""What the operator asked for: the twin of proto/spiral/v1/run.proto, which documents every field."""

from dataclasses import dataclass

from shared.domain import ArtifactRef, CellWeight, KindShare, RoleLimit, Strategy


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """How models are evaluated."""

    num_samples_per_probe: int = 4
    temperature: float = 1.0
    max_new_tokens: int = 12
    batch_size: int = 64


@dataclass(frozen=True, slots=True)
class PlanningSpec:
    """How mixtures are planned."""

    strategy: Strategy = Strategy.LEARNABILITY
    num_samples: int = 4000
    max_candidates: int = 12000
    lease_size: int = 64
    floor_share: float = 0.2
    max_change_factor: float = 2.0
    replay_share: float = 0.2
    reinforce_low: float = 0.5
    reinforce_high: float = 0.9
    fixed_weights: tuple[CellWeight, ...] = ()
    promotion_alpha: float = 0.05
    max_cell_regression: float = 0.1
    image_size_px: int = 64
    kind_shares: tuple[KindShare, ...] = ()
    annotate_share: float = 0.0


@dataclass(frozen=True, slots=True)
class QualitySpec:
    """How candidates are checked."""

    num_rollouts: int = 8
    pass_rate_low: float = 0.3
    pass_rate_high: float = 0.8
    max_image_bytes: int = 8_000_000
    max_image_pixels: int = 4_194_304
    num_blind_solvers: int = 2
    max_domain_share: float = 0.05
    max_image_share: float = 0.02
    allowed_licences: tuple[str, ...] = ()
    audit_per_cell: int = 5
    min_label_precision: float = 0.95


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """How models are trained."""

    recipe: str = "by_cell"
    sft_epochs: int = 3
    sft_batch_size: int = 32
    sft_learning_rate: float = 3e-4
    grpo_num_generations: int = 8
    grpo_batch_size: int = 128
    grpo_max_steps: int = 20
    grpo_learning_rate: float = 1e-4
    save_every_steps: int = 50
    max_new_tokens: int = 12


@dataclass(frozen=True, slots=True)
class SpendingSpec:
    """What a run may spend on calls to language models, over all rooms."""

    max_calls: int = 20_000
    max_tokens: int = 100_000_000
    max_cost_usd: float = 20.0
    role_limits: tuple[RoleLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSpec:
    """A run's specification; written once, before the first event."""

    run_id: str
    created_at_ns: int
    seed: int
    num_iterations: int
    base_checkpoint: ArtifactRef
    probes: ArtifactRef
    exam: ArtifactRef
    evaluation: EvaluationSpec
    planning: PlanningSpec
    quality: QualitySpec
    training: TrainingSpec
    spending: SpendingSpec = SpendingSpec()
