import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.planner.mixture import DPE_STEPS, dpe_step_weight, learnable_mass, plan_mixture, recipe_of
from services.planner.yields import CellOutcome, acceptance_rates, cost_factors, yield_factors
from shared.domain import CellWeight, Recipe, Strategy
from shared.errors import Rejected
from shared.run_spec import PlanningSpec
from tests.unit.planner.planted import CELLS, diagnosed

unhurried = settings(deadline=None, max_examples=60)
SPEC = PlanningSpec(num_samples=1000, max_candidates=3000)
diagnoses = st.lists(st.integers(0, 100), min_size=1, max_size=36).map(
    lambda correct: [diagnosed(cell, c) for cell, c in zip(CELLS, correct, strict=False)]
)
strategies = st.sampled_from([s for s in Strategy if s is not Strategy.FIXED])


@given(diagnoses, strategies)
@unhurried
def test_quotas_sum_to_the_samples_and_weights_to_one(diagnosis: list, strategy: Strategy) -> None:
    quotas = plan_mixture(diagnosis, replace(SPEC, strategy=strategy))
    assert sum(quota.num_samples for quota in quotas) == 1000
    assert sum(quota.weight for quota in quotas) == pytest.approx(1)
    assert [quota.cell for quota in quotas] == sorted(cell.cell for cell in diagnosis)


@given(diagnoses, strategies, st.randoms())
@unhurried
def test_order_of_the_diagnosis_does_not_matter(diagnosis: list, strategy: Strategy, shuffler: random.Random) -> None:
    shuffled = list(diagnosis)
    shuffler.shuffle(shuffled)
    spec = replace(SPEC, strategy=strategy)
    assert plan_mixture(shuffled, spec) == plan_mixture(diagnosis, spec)


@given(diagnoses)
@unhurried
def test_learnability_leaves_no_cell_out_even_those_never_seen(diagnosis: list) -> None:
    diagnosis[0] = diagnosed(diagnosis[0].cell, 0, 0)
    quotas = plan_mixture(diagnosis, SPEC)
    assert all(quota.weight >= SPEC.floor_share / len(quotas) - 1e-9 for quota in quotas)
    assert all(quota.num_samples >= 1 for quota in quotas)


@given(diagnoses, st.sampled_from([Strategy.LEARNABILITY, Strategy.ERROR, Strategy.DPE_STEPS]))
@unhurried
def test_weaker_cells_never_get_less(diagnosis: list, strategy: Strategy) -> None:
    weights = {quota.cell: quota.weight for quota in plan_mixture(diagnosis, replace(SPEC, strategy=strategy))}
    by_strength = sorted(diagnosis, key=lambda cell: cell.num_correct)
    for weaker, stronger in itertools.pairwise(by_strength):
        # E[p(1-p)] falls short of p(1-p) by the posterior variance, which taught cells are not charged
        assert weights[weaker.cell] >= weights[stronger.cell] * (1 - 2e-2)


@given(diagnoses, diagnoses, st.floats(1.1, 4))
@unhurried
def test_learnability_changes_no_weight_beyond_the_bound_or_the_floor(first: list, second: list, factor: float) -> None:
    size = min(len(first), len(second))
    spec = replace(SPEC, max_change_factor=factor, floor_share=0.1)
    before = {quota.cell: quota.weight for quota in plan_mixture(first[:size], spec)}
    for quota in plan_mixture(second[:size], spec, previous_weights=before):
        assert before[quota.cell] / factor - 1e-9 <= quota.weight <= before[quota.cell] * factor + 1e-9


@pytest.mark.parametrize(
    ("correct", "weight"),
    [(0, 2.0), (69, 2.0), (70, 1.5), (74, 1.5), (75, 1.0), (84, 1.0), (85, 0.8), (89, 0.8), (90, 0.5), (100, 0.5)],
)
def test_dpe_steps_are_the_published_ones_to_the_boundary(correct: int, weight: float) -> None:
    assert dpe_step_weight(diagnosed(CELLS[0], correct)) == weight


@given(st.integers(1, 400), st.data())
@unhurried
def test_dpe_steps_hold_for_every_fraction(num_answers: int, data: st.DataObject) -> None:
    num_correct = data.draw(st.integers(0, num_answers))
    percent = 100 * num_correct
    published = 2.0 if percent < 70 * num_answers else 1.5 if percent < 75 * num_answers else 1.0 if percent < 85 * num_answers else None
    published = published or (0.8 if percent < 90 * num_answers else 0.5)
    assert dpe_step_weight(diagnosed(CELLS[0], num_correct, num_answers)) == published


def test_dpe_steps_know_no_floor_no_bound_no_history_and_no_unseen_cell() -> None:
    diagnosis = [diagnosed(CELLS[0], 10), diagnosed(CELLS[1], 95), diagnosed(CELLS[2], 0, 0)]
    spec = replace(SPEC, strategy=Strategy.DPE_STEPS, floor_share=0.9, max_change_factor=1.01)
    quotas = plan_mixture(diagnosis, spec, previous_weights=dict.fromkeys(CELLS[:3], 1 / 3))
    assert [quota.num_samples for quota in quotas] == [800, 200, 0]
    assert max(weight for _, weight in DPE_STEPS) == 4 * min(weight for _, weight in DPE_STEPS)


def test_error_uniform_and_fixed_are_what_they_say() -> None:
    diagnosis = [diagnosed(CELLS[0], 19, 98), diagnosed(CELLS[1], 59, 98)]
    error = plan_mixture(diagnosis, replace(SPEC, strategy=Strategy.ERROR))
    assert [quota.weight for quota in error] == pytest.approx([0.8 / 1.2, 0.4 / 1.2])
    uniform = plan_mixture(diagnosis, replace(SPEC, strategy=Strategy.UNIFORM))
    assert [quota.num_samples for quota in uniform] == [500, 500]
    weights = (CellWeight(CELLS[0], 1.0), CellWeight(CELLS[5], 3.0))
    fixed = plan_mixture(diagnosis, replace(SPEC, strategy=Strategy.FIXED, fixed_weights=weights))
    assert [(quota.cell, quota.num_samples) for quota in fixed] == [(CELLS[0], 250), (CELLS[5], 750)]


def test_cells_that_can_be_solved_sometimes_are_reinforced_and_others_taught() -> None:
    spec = replace(SPEC, reinforce_low=0.4, reinforce_high=0.8)
    recipes = [recipe_of(diagnosed(CELLS[0], correct), spec) for correct in (0, 30, 50, 75, 95)]
    assert recipes == [Recipe.TEACH, Recipe.TEACH, Recipe.REINFORCE, Recipe.REINFORCE, Recipe.TEACH]
    one_sided = replace(diagnosed(CELLS[0], 3, 3), pass_rate=0.6)
    assert recipe_of(one_sided, spec) is Recipe.TEACH


def test_training_with_one_recipe_marks_every_cell_with_it() -> None:
    diagnosis = [diagnosed(CELLS[0], 10), diagnosed(CELLS[1], 60)]
    assert {quota.recipe for quota in plan_mixture(diagnosis, SPEC, training_recipe="sft")} == {Recipe.TEACH}
    assert {quota.recipe for quota in plan_mixture(diagnosis, SPEC, training_recipe="grpo")} == {Recipe.REINFORCE}
    assert {quota.recipe for quota in plan_mixture(diagnosis, SPEC)} == {Recipe.TEACH, Recipe.REINFORCE}


def test_learnable_mass_is_continuous_where_teaching_hands_over_to_reinforcing() -> None:
    below, above = diagnosed(CELLS[0], 4999, 10_000), diagnosed(CELLS[0], 5001, 10_000)
    assert recipe_of(below, SPEC) is Recipe.TEACH
    assert recipe_of(above, SPEC) is Recipe.REINFORCE
    assert learnable_mass(below, SPEC) == pytest.approx(learnable_mass(above, SPEC), rel=1e-3)
    assert learnable_mass(diagnosed(CELLS[0], 0), SPEC) > learnable_mass(below, SPEC)


def outcome(i: int, gain: float, *, iteration: int = 1, num_accepted: int = 100) -> CellOutcome:
    return CellOutcome(iteration, CELLS[i], num_accepted, 150, gain, 0.03)


def test_cells_that_really_gave_more_per_sample_get_more_and_noise_changes_nothing() -> None:
    noise = yield_factors([outcome(0, 0.05), outcome(1, 0.06), outcome(2, 0.04)], CELLS[:4])
    assert set(noise.values()) == {1.0}
    factors = yield_factors([outcome(0, 0.40), outcome(1, 0.0), outcome(2, 0.1), outcome(3, -0.2)], CELLS[:5])
    assert factors[CELLS[0]] > factors[CELLS[2]] > factors[CELLS[3]]
    assert factors[CELLS[4]] > 1, "a cell never tried may give more than average"
    assert all(0.5 <= factor <= 2 for factor in factors.values())


def test_old_gains_say_less_than_new_ones() -> None:
    others = [outcome(1, 0.0), outcome(2, 0.4), outcome(1, 0.0, iteration=3), outcome(2, 0.4, iteration=3)]
    fell = yield_factors([*others, outcome(0, 0.4), outcome(0, 0.0, iteration=3)], CELLS[:3])
    rose = yield_factors([*others, outcome(0, 0.0), outcome(0, 0.4, iteration=3)], CELLS[:3])
    assert fell[CELLS[0]] < rose[CELLS[0]]


def test_dearer_cells_get_less() -> None:
    factors = cost_factors({CELLS[0]: 1.0, CELLS[1]: 2.0, CELLS[2]: 100.0})
    assert 2 >= factors[CELLS[0]] > factors[CELLS[1]] > factors[CELLS[2]] == 0.5
    diagnosis = [diagnosed(CELLS[0], 50), diagnosed(CELLS[1], 50)]
    cheap, dear = plan_mixture(diagnosis, SPEC, costs_s={CELLS[0]: 0.1, CELLS[1]: 1.0})
    assert cheap.num_samples > dear.num_samples


def test_expected_acceptance_moves_from_the_prior_to_what_was_measured() -> None:
    many = [CellOutcome(1, CELLS[0], 100, 1000, 0.1, 0.1)]
    rates = acceptance_rates(many, {CELLS[0]: 0.8, CELLS[1]: 0.8})
    assert rates[CELLS[0]] == pytest.approx(0.11, abs=0.02)
    assert rates[CELLS[1]] == 0.8


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"num_samples": 0}, "num_samples"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"lease_size": 0}, "lease_size"),
        ({"max_change_factor": 1.0}, "max_change_factor"),
        ({"floor_share": -0.1}, "shares"),
        ({"strategy": Strategy.FIXED}, "fixed_weights"),
    ],
)
def test_impossible_planning_values_are_named(change: dict, complaint: str) -> None:
    with pytest.raises(Rejected, match=complaint):
        plan_mixture([diagnosed(CELLS[0], 50)], replace(SPEC, **change))


def test_empty_diagnosis_is_refused() -> None:
    with pytest.raises(Rejected, match="no cell"):
        plan_mixture([], SPEC)
