"""From events to training rounds: mixture, verdicts, training and decision of each. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from services.cli.report_model import CellMixture, Round, TrainingStage
from shared import events as e
from shared.domain import Cell, Recipe

STAGES: tuple[tuple[type[e.Event], str], ...] = (
    (e.MixturePlanned, "generating"),
    (e.PlanClosed, "sealing"),
    (e.DatasetReady, "training"),
    (e.ModelUpdated, "evaluating"),
    (e.EvaluationCompleted, "diagnosing"),
    (e.WeaknessReport, "deciding"),
    (e.ModelPromoted, "done"),
)
"""An iteration's stage is what follows the latest of these events."""


def rounds_of(events: Sequence[e.Event]) -> tuple[Round, ...]:
    """Every round that was planned, oldest first."""
    planned = sorted({event.iteration for event in events if isinstance(event, e.MixturePlanned)})
    return tuple(_round(iteration, events) for iteration in planned)


def stage_of(iteration: int, events: Iterable[e.Event]) -> str:
    """What an iteration is at; "waiting" before its first event."""
    seen = {type(event) for event in events if event.iteration == iteration}
    reached = [stage for kind, stage in STAGES if kind in seen]
    return reached[-1] if reached else "waiting"


def _round(iteration: int, events: Sequence[e.Event]) -> Round:
    mine = [event for event in events if event.iteration == iteration]
    plan = next(event for event in mine if isinstance(event, e.MixturePlanned))
    reviews = list({event.lease.lease_id: event for event in mine if isinstance(event, e.CandidatesReviewed)}.values())
    closed = next((event for event in mine if isinstance(event, e.PlanClosed)), None)
    dataset = next((event for event in mine if isinstance(event, e.DatasetReady)), None)
    promotion = next((event for event in mine if isinstance(event, e.ModelPromoted)), None)
    comparison = promotion.comparison if promotion else None
    mixture = tuple(
        _cell_mixture(quota.cell, quota.weight, quota.num_samples, quota.recipe, reviews)
        for quota in sorted(plan.quotas, key=lambda quota: quota.cell)
    )
    return Round(
        iteration=iteration,
        stage=stage_of(iteration, mine),
        strategy=plan.strategy.value,
        mixture=mixture,
        candidates=sum(cell.candidates for cell in mixture),
        accepted=sum(cell.accepted for cell in mixture),
        rejected=dict(sum((Counter(cell.rejected) for cell in mixture), Counter[str]()).most_common()),
        closing_reason=closed.reason.value if closed else "",
        dataset_samples=dataset.num_samples if dataset else 0,
        replay_share=dataset.replay_share if dataset else plan.replay_share,
        training=_training(event for event in mine if isinstance(event, e.TrainingProgressed)),
        is_promoted=promotion.is_promoted if promotion else None,
        explanation=promotion.explanation if promotion else "",
        core_gain=comparison.macro_gain if comparison else None,
        core_interval=comparison.interval if comparison else None,
        held_back=plan.held_back,
    )


def _cell_mixture(cell: Cell, weight: float, wanted: int, recipe: Recipe, reviews: Sequence[e.CandidatesReviewed]) -> CellMixture:
    verdicts = [verdict for review in reviews if review.lease.cell == cell for verdict in review.verdicts]
    rejected = Counter(verdict.reason.value for verdict in verdicts if verdict.reason is not None)
    return CellMixture(
        cell=cell,
        weight=weight,
        wanted=wanted,
        recipe=recipe.value,
        candidates=len(verdicts),
        accepted=sum(verdict.accepted for verdict in verdicts),
        rejected=dict(rejected.most_common()),
    )


def _training(progress: Iterable[e.TrainingProgressed]) -> tuple[TrainingStage, ...]:
    last: dict[Recipe, e.TrainingProgressed] = {}
    for event in progress:
        if event.recipe not in last or event.step >= last[event.recipe].step:
            last[event.recipe] = event
    return tuple(
        TrainingStage(event.recipe.value, event.step, event.loss, event.reward, event.accuracy, event.samples_per_s)
        for event in last.values()
    )
