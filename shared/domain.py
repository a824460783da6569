"""The nouns inside every room: frozen values without behaviour beyond their own arithmetic.

Twins of the messages in proto/spiral/v1/types.proto, which documents every field; `wire.py` converts between the two.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class ImageCategory(StrEnum):
    """What an image shows: DPE's twelve image types."""

    GEOMETRIC = "geometric"
    MEDICAL = "medical"
    CHART_GRAPH = "chart_graph"
    TEXT_DENSE = "text_dense"
    DIAGRAM = "diagram"
    MATH_FORMULA = "math_formula"
    MAP = "map"
    NATURAL_SCENE = "natural_scene"
    ARTISTIC = "artistic"
    EVERYDAY_OBJECT = "everyday_object"
    ARCHITECTURAL = "architectural"
    MIXED = "mixed"


class QuestionType(StrEnum):
    """How a question is answered, and so which grader decides."""

    MULTIPLE_CHOICE = "multiple_choice"
    NUMERIC = "numeric"
    TEXT = "text"


class ErrorType(StrEnum):
    """How an answer went wrong, read off the graded answer."""

    WRONG_VALUE = "wrong_value"
    NEAR_MISS = "near_miss"
    WRONG_UNIT = "wrong_unit"
    UNGRADABLE = "ungradable"
    UNSTABLE = "unstable"


class Recipe(StrEnum):
    """How a cell is trained in one iteration."""

    TEACH = "teach"
    REINFORCE = "reinforce"


class Strategy(StrEnum):
    """How the planner turns a diagnosis into weights."""

    LEARNABILITY = "learnability"
    DPE_STEPS = "dpe_steps"
    ERROR = "error"
    UNIFORM = "uniform"
    FIXED = "fixed"


class RejectionReason(StrEnum):
    """Why a candidate was refused: the first check that refused."""

    SCHEMA = "schema"
    IMAGE_UNDECODABLE = "image_undecodable"
    IMAGE_TOO_LARGE = "image_too_large"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    PROBE_LEAK = "probe_leak"
    WRONG_ANSWER = "wrong_answer"
    UNVERIFIABLE = "unverifiable"
    WRONG_CELL = "wrong_cell"
    TOO_HARD = "too_hard"
    TOO_EASY = "too_easy"
    OVER_QUOTA = "over_quota"
    BENCHMARK_LEAK = "benchmark_leak"
    LICENCE = "licence"
    OVER_REPRESENTED = "over_represented"
    UNSAFE = "unsafe"
    NEEDS_NO_IMAGE = "needs_no_image"
    DISPUTED = "disputed"
    QUARANTINED = "quarantined"


class LeaseTask(StrEnum):
    """What a lease asks for, where it is not whatever the generator makes."""

    ANNOTATE = "annotate"


class AuditVerdict(StrEnum):
    """What a person said of an accepted sample's label."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNSURE = "unsure"


class ClosingReason(StrEnum):
    """Why a plan was closed."""

    QUOTAS_MET = "quotas_met"
    BUDGET_SPENT = "budget_spent"
    NO_GENERATOR = "no_generator"


class EndReason(StrEnum):
    """Why a run ended."""

    ITERATIONS_DONE = "iterations_done"
    NO_SAMPLES = "no_samples"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that rooms hand on: from an event into another one, or into what they keep and out of it again.

    What a newer version of the contract says about it is handed on as it came, and takes no part in comparisons: a room acts on what it
    knows.
    """

    unknown_fields: bytes = field(default=b"", kw_only=True, repr=False, compare=False)
    """Fields that this version does not know, as they stood in the message."""


@dataclass(frozen=True, order=True, slots=True)
class Cell(Carried):
    """The unit of diagnosis and planning: image category × question type."""

    category: ImageCategory
    question_type: QuestionType

    def __str__(self) -> str:
        return f"{self.category.value}/{self.question_type.value}"


@dataclass(frozen=True, slots=True)
class ArtifactRef(Carried):
    """An immutable object in the store; readers refuse bytes that do not match the digest."""

    uri: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class ModelVersion(Carried):
    """A published weight set; `checkpoint` is the manifest of a Hugging Face directory."""

    model_id: str
    iteration: int
    checkpoint: ArtifactRef
    parent_model_id: str = ""


@dataclass(frozen=True, slots=True)
class Interval(Carried):
    """A credible or confidence interval with its coverage."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class CellGain(Carried):
    """One cell's part of a paired comparison."""

    cell: Cell
    num_pairs: int
    gain: float
    interval: Interval
    num_fixed: int
    num_still_failing: int
    num_regressed: int
    num_new_failures: int


@dataclass(frozen=True, slots=True)
class PairedComparison(Carried):
    """Two models on the same probes; gains are challenger minus baseline."""

    baseline_model_id: str
    num_pairs: int
    macro_gain: float
    interval: Interval
    p_value: float
    cells: tuple[CellGain, ...]


@dataclass(frozen=True, slots=True)
class ErrorExample(Carried):
    """One wrong answer beside the right one."""

    error_type: ErrorType
    reference: str
    answered: str


@dataclass(frozen=True, slots=True)
class ErrorEvidence(Carried):
    """How often one error type was seen, with some examples."""

    error_type: ErrorType
    count: int
    examples: tuple[ErrorExample, ...]


@dataclass(frozen=True, slots=True)
class Guidance(Carried):
    """Why a cell is practised: the champion's diagnosis of it."""

    pass_rate: float
    interval: Interval
    errors: tuple[ErrorEvidence, ...]


@dataclass(frozen=True, slots=True)
class Spend(Carried):
    """What calls to language models cost, by the role that they were made for."""

    role: str
    num_calls: int
    num_input_tokens: int
    num_output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class ErrorCount(Carried):
    """How often one error type was seen."""

    error_type: ErrorType
    count: int


@dataclass(frozen=True, slots=True)
class CellDiagnosis(Carried):
    """One cell's diagnosis: counts, posterior, test, error types."""

    cell: Cell
    num_probes: int
    num_answers: int
    num_correct: int
    num_ungradable: int
    pass_rate: float
    interval: Interval
    learnability: float
    p_value: float
    adjusted_p_value: float
    is_weak: bool
    errors: tuple[ErrorCount, ...]
    examples: tuple[ErrorExample, ...] = ()


@dataclass(frozen=True, slots=True)
class CellQuota:
    """One cell's part of a mixture."""

    cell: Cell
    num_samples: int
    weight: float
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class CellShortfall:
    """A cell that stays short of its quota."""

    cell: Cell
    num_wanted: int
    num_accepted: int


@dataclass(frozen=True, slots=True)
class GeneratorIdentity(Carried):
    """A generator replica."""

    kind: str
    version: str
    instance_id: str


@dataclass(frozen=True, slots=True)
class GeneratorRegistration:
    """A living generator replica: what it serves, at which cost, and where."""

    generator: GeneratorIdentity
    cells: tuple[Cell, ...]
    unit_cost_s: float
    """Seconds of one core per candidate."""
    grpc_address: str
    """host:port of its GeneratorService; empty where it has none."""
    is_draining: bool
    can_annotate: bool = False
    max_lease_size: int = 0
    """The most candidates that a lease may ask of it; 0 is no limit of its own."""
    draws_probes: bool = True


@dataclass(frozen=True, slots=True)
class Lease(Carried):
    """A request for up to `num_candidates` candidates of one cell, consumed by accepted samples."""

    lease_id: str
    cell: Cell
    recipe: Recipe
    kind: str
    ordinal: int
    num_candidates: int
    num_wanted: int
    seed: int
    difficulty: float
    image_size_px: int
    base_model: ModelVersion
    task: LeaseTask | None = None
    guidance: Guidance | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question on an image with the answer that its maker claims; not yet accepted."""

    candidate_id: str
    cell: Cell
    image: bytes
    question: str
    choices: tuple[str, ...]
    answer: str
    tolerance: float
    scene: str
    provenance: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of quality control for one candidate; `reason` is None where accepted."""

    candidate_id: str
    accepted: bool
    reason: RejectionReason | None
    detail: str
    pass_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy is asked, with the reference answer."""

    question_id: str
    image: bytes
    question: str
    question_type: QuestionType
    choices: tuple[str, ...]
    answer: str
    tolerance: float


@dataclass(frozen=True, slots=True)
class CellWeight:
    """A cell's weight, relative to the others."""

    cell: Cell
    weight: float


@dataclass(frozen=True, slots=True)
class KindShare:
    """A generator kind's share of a cell's leases, in [0, 1]."""

    kind: str
    share: float


@dataclass(frozen=True, slots=True)
class RoleLimit:
    """What one role may spend of a run's budget; None is what the run has left."""

    role: str
    max_calls: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
