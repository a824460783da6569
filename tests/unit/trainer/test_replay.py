from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.generators.rendered.candidates import CELLS
from services.trainer.replay import draw_replay, plan_stages, training_order
from shared.domain import Recipe
from shared.errors import Rejected
from shared.tables import Sample
from tests.unit.trainer.drawn import draw_samples

POOL: tuple[Sample, ...] = tuple(draw_samples(120, seed=7, iteration=1))


@settings(deadline=None)
@given(num_new=st.integers(1, 40), num_earlier=st.integers(0, 80), share=st.floats(0, 0.9), seed=st.integers(0, 9))
def test_replay_makes_up_its_share_as_far_as_there_are_enough(num_new: int, num_earlier: int, share: float, seed: int) -> None:
    new, earlier = POOL[:num_new], POOL[40 : 40 + num_earlier]
    replayed = draw_replay(new, earlier, replay_share=share, seed=seed)
    assert replayed == draw_replay(new, earlier, replay_share=share, seed=seed)
    assert len({sample.sample_id for sample in (*new, *replayed)}) == len(new) + len(replayed)
    assert {sample.sample_id for sample in replayed} <= {sample.sample_id for sample in earlier}
    wanted = share * (len(new) + len(replayed))
    if len(replayed) < len({sample.sample_id for sample in earlier}):
        assert abs(len(replayed) - wanted) <= 1
    else:
        assert len(replayed) <= wanted + 1


def test_small_cells_are_replayed_as_much_as_large_ones() -> None:
    small, large = CELLS[0], CELLS[1]
    earlier = draw_samples(6, seed=1, cells=[small]) + draw_samples(200, seed=2, cells=[large])
    replayed = draw_replay(draw_samples(12, seed=3), earlier, replay_share=0.5, seed=0)
    assert Counter(sample.cell for sample in replayed) == {small: 6, large: 6}


def test_nothing_of_a_cell_that_is_held_back_is_replayed_and_the_others_take_its_place() -> None:
    held, other = CELLS[0], CELLS[1]
    earlier = draw_samples(30, seed=1, cells=[held]) + draw_samples(30, seed=2, cells=[other])
    replayed = draw_replay(draw_samples(12, seed=3), earlier, replay_share=0.5, seed=0, held_back=[str(held)])
    assert Counter(sample.cell for sample in replayed) == {other: 12}


def test_another_seed_replays_other_samples() -> None:
    drawn = [draw_replay(POOL[:40], POOL[40:], replay_share=0.2, seed=seed) for seed in (0, 1)]
    assert len(drawn[0]) == len(drawn[1]) == 10
    assert drawn[0] != drawn[1]


def test_a_sample_that_is_new_again_is_not_replayed() -> None:
    assert draw_replay(POOL[:10], POOL[:10] * 3, replay_share=0.5, seed=0) == ()


def test_cells_marked_reinforce_get_a_stage_of_their_own_after_the_supervised_one() -> None:
    teach, reinforce = draw_samples(10, seed=1), draw_samples(6, seed=2, recipe=Recipe.REINFORCE)
    stages = plan_stages("by_cell", [*teach, *reinforce], draw_samples(4, seed=3, recipe=Recipe.REINFORCE))
    assert [stage.recipe for stage in stages] == [Recipe.TEACH, Recipe.REINFORCE]
    assert set(stages[1].samples) == set(reinforce)
    assert set(teach) <= set(stages[0].samples)


def test_a_stage_without_samples_is_left_out() -> None:
    assert [stage.recipe for stage in plan_stages("by_cell", draw_samples(5, seed=1), ())] == [Recipe.TEACH]


@pytest.mark.parametrize(("recipe", "trainer"), [("sft", Recipe.TEACH), ("grpo", Recipe.REINFORCE)])
def test_a_pure_recipe_trains_on_everything(recipe: str, trainer: Recipe) -> None:
    new, replayed = draw_samples(5, seed=1), draw_samples(2, seed=2, recipe=Recipe.REINFORCE)
    (stage,) = plan_stages(recipe, new, replayed)
    assert stage.recipe is trainer
    assert set(stage.samples) == {*new, *replayed}


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(Rejected, match="no sample"):
        plan_stages("by_cell", [], POOL[:3])


@settings(deadline=None)
@given(num_samples=st.integers(1, 50), num_draws=st.integers(0, 200), seed=st.integers(0, 5))
def test_every_sample_comes_once_in_each_pass(num_samples: int, num_draws: int, seed: int) -> None:
    order = training_order(num_samples, num_draws, seed=seed)
    assert len(order) == num_draws
    assert order == training_order(num_samples, num_draws, seed=seed)
    for start in range(0, num_draws, num_samples):
        passed = order[start : start + num_samples]
        assert len(set(passed)) == len(passed)
        assert all(0 <= index < num_samples for index in passed)


def test_a_longer_training_begins_as_a_shorter_one() -> None:
    assert training_order(10, 35, seed=3)[:20] == training_order(10, 20, seed=3)
