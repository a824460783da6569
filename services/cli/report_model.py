"""What a report says, as values; `spiral report --json` prints them under the schema "spiral.report/1" (see README.md here)."""

from dataclasses import dataclass
from typing import Any

from services.cli.plain import plain
from shared.domain import Cell, Interval

SCHEMA = "spiral.report/1"


@dataclass(frozen=True, slots=True)
class CellScore:
    """One cell of an exam: greedy answers, graded. Probes that could not be asked are in `failed`, not in `n`."""

    cell: Cell
    n: int
    correct: int
    ungradable: int
    failed: int
    rate: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Exam:
    """One model's exam. `is_champion` says whether it was champion after its iteration; `parent` is the model it was trained from."""

    iteration: int
    model_id: str
    parent: str
    is_champion: bool
    macro: float
    interval: Interval
    cells: tuple[CellScore, ...]


@dataclass(frozen=True, slots=True)
class CellDifference:
    """One cell's paired difference of accuracy, challenger minus baseline."""

    cell: Cell
    num_pairs: int
    num_gained: int
    num_lost: int
    gain: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class ExamComparison:
    """Champion against base on the same exam items, once another model than the base is champion."""

    baseline: str
    champion: str
    num_pairs: int
    gain: float
    interval: Interval
    cells: tuple[CellDifference, ...]


@dataclass(frozen=True, slots=True)
class CellMixture:
    """What one cell was given in an iteration, and what became of its candidates."""

    cell: Cell
    weight: float
    wanted: int
    recipe: str
    candidates: int
    accepted: int
    rejected: dict[str, int]


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """A stage of a training: its last figures."""

    recipe: str
    steps: int
    loss: float
    reward: float | None
    accuracy: float | None
    samples_per_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """One iteration: its mixture, the verdicts, the dataset, the training and the decision on its model."""

    iteration: int
    stage: str
    strategy: str
    mixture: tuple[CellMixture, ...]
    candidates: int
    accepted: int
    rejected: dict[str, int]
    closing_reason: str
    dataset_samples: int
    replay_share: float
    training: tuple[TrainingStage, ...]
    is_promoted: bool | None
    explanation: str
    core_gain: float | None
    core_interval: Interval | None
    held_back: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class RoomTime:
    """What a room did: seconds between an event and what followed from it, and the work done in them."""

    room: str
    busy_s: float
    done: int
    unit: str
    rate_per_s: float


@dataclass(frozen=True, slots=True)
class LabelScore:
    """What people said of accepted labels. `precision` is the share of right ones among those called right or wrong, None without any."""

    audited: int
    correct: int
    wrong: int
    unsure: int
    precision: float | None
    interval: Interval


@dataclass(frozen=True, slots=True)
class CellLabels:
    """One cell's labels. `is_below_bound` is what keeps the cell out of the next mixture."""

    cell: Cell
    score: LabelScore
    is_below_bound: bool


@dataclass(frozen=True, slots=True)
class LabelAudit:
    """The labels that people looked at, and the cells that the last mixture held back for them."""

    min_precision: float
    score: LabelScore
    cells: tuple[CellLabels, ...]
    held_back: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class RoleSpending:
    """What calls to language models of one role cost."""

    role: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Spending:
    """What the run spent on language models, by role and in all, beside what it may spend."""

    roles: tuple[RoleSpending, ...]
    calls: int
    tokens: int
    cost_usd: float
    cost_per_accepted_usd: float | None
    max_calls: int
    max_tokens: int
    max_cost_usd: float


@dataclass(frozen=True, slots=True)
class KindScore:
    """A generator kind over all rounds: what became of its candidates, and what making and judging them cost."""

    kind: str
    leases: int
    candidates: int
    accepted: int
    acceptance: float | None
    rejected: dict[str, int]
    calls: int
    tokens: int
    cost_usd: float
    cost_per_accepted_usd: float | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The run itself. `state` is "running" or "finished"; `end_reason` and `explanation` are empty while it runs."""

    run_id: str
    seed: int
    num_iterations: int
    strategy: str
    created_at_ns: int
    state: str
    end_reason: str
    explanation: str
    total_s: float


@dataclass(frozen=True, slots=True)
class Champion:
    """The best model so far, and why: the decisions in order."""

    model_id: str
    iteration: int
    checkpoint: str
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report."""

    run: RunSummary
    champion: Champion | None
    comparison: ExamComparison | None
    exams: tuple[Exam, ...]
    rounds: tuple[Round, ...]
    rooms: tuple[RoomTime, ...]
    labels: LabelAudit | None
    spending: Spending | None
    kinds: tuple[KindScore, ...]


def to_json(report: Report) -> dict[str, Any]:
    """The report as JSON values, with its schema named first."""
    return {"schema": SCHEMA, **plain(report, num_digits=6)}
