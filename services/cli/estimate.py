"""What a run would cost, before it starts: probes, answers, candidates and minutes. Pure arithmetic over measured rates."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.cli.splits import CORE, EXAM
from shared.domain import Cell
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, TrainingSpec
from shared.tables import Probe

REFERENCE_NUM_BYTES = 5_200_000
"""Weights of the shipped model, on which the rates below were measured (two cores, no accelerator)."""
ANSWERS_PER_S = 400.0
CANDIDATES_PER_S = 60.0
"""Drawn and reviewed, without rollouts."""
TRAINED_PER_S = 180.0
ROUND_OVERHEAD_S = 15.0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a run. Minutes hold for two cores without an accelerator and scale with the size of the weights."""

    num_probes: dict[str, int]
    """By split."""
    probes_per_cell: dict[str, dict[str, int]]
    """By cell, then split."""
    num_evaluations: int
    num_answers: int
    num_samples: int
    max_candidates: int
    minutes: float


def probe_counts(probes: Sequence[Probe]) -> dict[Cell, Counter[str]]:
    """Probes of each cell by split, cells in order."""
    counts: dict[Cell, Counter[str]] = {}
    for probe in sorted(probes, key=lambda probe: probe.cell):
        counts.setdefault(probe.cell, Counter())[probe.split] += 1
    return counts


def estimate(
    counts: dict[Cell, Counter[str]],
    *,
    num_iterations: int,
    evaluation: EvaluationSpec,
    planning: PlanningSpec,
    quality: QualitySpec,
    training: TrainingSpec,
    num_weight_bytes: int,
) -> Cost:
    """The cost of a run on these probes; the time is for a run that asks for twice the candidates that it accepts."""
    by_split: Counter[str] = sum(counts.values(), Counter())
    fresh = [by_split.get(f"fresh-{iteration}", 0) for iteration in range(num_iterations + 1)]
    per_probe = evaluation.num_samples_per_probe + 1
    num_answers = sum((by_split[CORE] + num_fresh) * per_probe + by_split[EXAM] for num_fresh in fresh)
    candidates = min(planning.max_candidates, 2 * planning.num_samples)
    rollouts = candidates / 2 * quality.num_rollouts
    scale = max(1.0, num_weight_bytes / REFERENCE_NUM_BYTES)
    trained = planning.num_samples * (1 + planning.replay_share) * training.sft_epochs
    reinforced = training.grpo_max_steps * training.grpo_batch_size
    per_round = (rollouts + reinforced) * scale / ANSWERS_PER_S + candidates / CANDIDATES_PER_S + trained * scale / TRAINED_PER_S
    seconds = num_answers * scale / ANSWERS_PER_S + num_iterations * (per_round + ROUND_OVERHEAD_S)
    return Cost(
        num_probes=dict(sorted(by_split.items())),
        probes_per_cell={str(cell): dict(sorted(splits.items())) for cell, splits in counts.items()},
        num_evaluations=num_iterations + 1,
        num_answers=num_answers,
        num_samples=num_iterations * planning.num_samples,
        max_candidates=num_iterations * planning.max_candidates,
        minutes=seconds / 60,
    )
