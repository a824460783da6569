"""The durable state of a run: who is champion, what is known of it, what earlier mixtures bought, and what was decided last.

One decision per weakness report. The last one is kept in full, so that a report delivered twice is answered twice with the same words;
an earlier one has been acted upon, or the later report could not exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean

from services.planner.guidance import guidance_of
from services.planner.ledger import CellLedger, PlanLedger
from services.planner.mixture import plan_mixture, recipe_of
from services.planner.promotion import PromotionDecision, decide_promotion
from services.planner.yields import CellOutcome, acceptance_rates
from shared.domain import Cell, CellDiagnosis, CellGain, CellWeight, EndReason, ModelVersion, Recipe
from shared.errors import Rejected
from shared.events import Event, MixturePlanned, ModelPromoted, RunFinished, WeaknessReport
from shared.ports import Cause
from shared.run_spec import RunSpec

EXPECTED_ACCEPTANCE = {Recipe.TEACH: 0.8, Recipe.REINFORCE: 0.4}
"""Share of candidates that quality accepts, before any was seen: reinforced ones must also lie in the window on the pass rate."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What followed from one iteration's weakness report: a mixture for the next one, or the end."""

    iteration: int
    cause: Cause
    promoted: ModelPromoted
    planned: MixturePlanned | None = None
    finished: RunFinished | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        """The decision's events, in the order in which they are said."""
        return tuple(event for event in (self.promoted, self.planned, self.finished) if event is not None)


@dataclass(frozen=True, slots=True)
class RunLedger:
    """A run's state after its last decision. `diagnosis` is the champion's, `weights` those of the last mixture."""

    run_id: str
    champion: ModelVersion
    diagnosis: tuple[CellDiagnosis, ...]
    weights: tuple[CellWeight, ...]
    history: tuple[CellOutcome, ...]
    last: Decision


def decide(
    ledger: RunLedger | None,
    report: WeaknessReport,
    spec: RunSpec,
    *,
    cause: Cause,
    trained_on: PlanLedger | None,
    unit_costs_s: Mapping[Cell, float],
    held_back: tuple[Cell, ...] = (),
) -> RunLedger:
    """The ledger after a weakness report; the same ledger where that report was decided before.

    `trained_on` is the plan whose samples the reported model was trained on, `unit_costs_s` seconds per candidate for cells that a
    living generator serves (a typical cost stands for the rest). The next mixture is planned from the champion's diagnosis, since
    training starts from the champion. Cells that are `held_back` get nothing in it; where no other is left, the run ends.

    Raises:
        Rejected: the base model was never reported, or the plan is impossible.
    """
    if ledger is not None and report.iteration <= ledger.last.iteration:
        return ledger
    champion, diagnosis = report.model, report.cells
    weights: tuple[CellWeight, ...] = ()
    history: tuple[CellOutcome, ...] = ()
    if ledger is None:
        if report.iteration != 0:
            raise Rejected(f"run {report.run_id}: iteration {report.iteration} is reported, but no base model is champion yet")
        verdict = PromotionDecision(True, "the base model is champion until a model beats it")
    else:
        verdict = _verdict(report, spec)
        weights, history = ledger.weights, ledger.history + (_outcomes(report, trained_on) if trained_on else ())
        if not verdict.is_promoted:
            champion, diagnosis = ledger.champion, ledger.diagnosis
    decision = Decision(
        iteration=report.iteration,
        cause=cause,
        promoted=ModelPromoted(
            report.run_id, report.iteration, champion, report.model, verdict.is_promoted, verdict.explanation, report.comparison
        ),
    )
    if report.iteration >= spec.num_iterations:
        why = f"{spec.num_iterations} iterations done; champion is {champion.model_id}"
        decision = replace(decision, finished=RunFinished(report.run_id, report.iteration, EndReason.ITERATIONS_DONE, champion, why))
        return RunLedger(report.run_id, champion, diagnosis, weights, history, decision)
    planning = spec.planning
    acceptance = acceptance_rates(history, {cell.cell: EXPECTED_ACCEPTANCE[recipe_of(cell, planning)] for cell in diagnosis})
    typical_s = fmean(unit_costs_s.values()) if unit_costs_s else 1.0
    quotas = plan_mixture(
        diagnosis,
        planning,
        previous_weights={weight.cell: weight.weight for weight in weights},
        history=history,
        costs_s={cell: unit_costs_s.get(cell, typical_s) / rate for cell, rate in acceptance.items()},
        training_recipe=spec.training.recipe,
        held_back=held_back,
    )
    if not quotas:
        why = f"no cell is left to practise: people found too many wrong labels in {', '.join(map(str, held_back))}"
        decision = replace(decision, finished=RunFinished(report.run_id, report.iteration, EndReason.NO_SAMPLES, champion, why))
        return RunLedger(report.run_id, champion, diagnosis, weights, history, decision)
    planned = MixturePlanned(
        run_id=report.run_id,
        iteration=report.iteration + 1,
        base_model=champion,
        strategy=planning.strategy,
        quotas=quotas,
        num_samples=planning.num_samples,
        max_candidates=planning.max_candidates,
        replay_share=planning.replay_share,
        held_back=held_back,
    )
    weights = tuple(CellWeight(quota.cell, quota.weight) for quota in quotas)
    return RunLedger(report.run_id, champion, diagnosis, weights, history, replace(decision, planned=planned))


def plan_of(ledger: RunLedger, planned: MixturePlanned, spec: RunSpec, *, start_difficulty: float, top_difficulty: float) -> PlanLedger:
    """The plan for a mixture, before its first lease. Cells without a quota have no part in it.

    Difficulty is `start_difficulty` up to a pass rate of one half and rises from there to `top_difficulty` at one.
    """
    wanted = [quota for quota in planned.quotas if quota.num_samples]
    acceptance = acceptance_rates(ledger.history, {quota.cell: EXPECTED_ACCEPTANCE[quota.recipe] for quota in wanted})
    pass_rates = {cell.cell: cell.pass_rate for cell in ledger.diagnosis}
    guidance = guidance_of(ledger.diagnosis)

    def difficulty(cell: Cell) -> float:
        mastery = max(0.0, 2 * pass_rates.get(cell, 0.0) - 1)
        return start_difficulty + mastery * (top_difficulty - start_difficulty)

    return PlanLedger(
        run_id=planned.run_id,
        iteration=planned.iteration,
        seed=spec.seed,
        base_model=planned.base_model,
        replay_share=planned.replay_share,
        lease_size=spec.planning.lease_size,
        max_candidates=planned.max_candidates,
        image_size_px=spec.planning.image_size_px,
        opened_for=ledger.last.cause,
        cells=tuple(
            CellLedger(
                cell=quota.cell,
                recipe=quota.recipe,
                num_samples=quota.num_samples,
                budget=0,
                acceptance=acceptance[quota.cell],
                difficulty=difficulty(quota.cell),
                is_served=True,
                guidance=guidance.get(quota.cell),
            )
            for quota in wanted
        ),
        held_back=planned.held_back,
        kind_shares=spec.planning.kind_shares,
        annotate_share=spec.planning.annotate_share,
    )


def _verdict(report: WeaknessReport, spec: RunSpec) -> PromotionDecision:
    if report.comparison is None:
        return PromotionDecision(False, "kept the champion: the report holds no comparison with it")
    return decide_promotion(report.comparison, alpha=spec.planning.promotion_alpha, max_cell_regression=spec.planning.max_cell_regression)


def _outcomes(report: WeaknessReport, plan: PlanLedger) -> tuple[CellOutcome, ...]:
    gains = {gain.cell: gain for gain in report.comparison.cells} if report.comparison else {}
    return tuple(
        CellOutcome(plan.iteration, cell.cell, cell.num_accepted, cell.num_asked, gains[cell.cell].gain, _standard_error(gains[cell.cell]))
        for cell in plan.cells
        if cell.cell in gains and gains[cell.cell].num_pairs
    )


def _standard_error(gain: CellGain) -> float:
    return (gain.interval.high - gain.interval.low) / (2 * NormalDist().inv_cdf((1 + gain.interval.level) / 2))
