"""Splitting a user's probes."""

from collections import defaultdict
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.cli.splits import CORE, EXAM, split_probes
from shared.domain import Cell, ImageCategory, QuestionType
from shared.tables import Probe

CELLS = [Cell(category, kind) for category in list(ImageCategory)[:3] for kind in QuestionType]

rows_strategy = st.lists(
    st.tuples(st.sampled_from(CELLS), st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=60, unique_by=lambda t: t[1:]
)
probes_strategy = rows_strategy.map(
    lambda rows: [Probe(f"{image}-{text}", "", cell, f"{image}".encode(), f"{text}", (), "1", 0.0) for cell, image, text in rows]
)


@given(probes_strategy, st.integers(0, 100), st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_split_depends_on_content_alone_and_no_image_is_in_two_splits(
    probes: list[Probe], seed: int, num_iterations: int, rng: Random
) -> None:
    split = split_probes(probes, seed=seed, num_iterations=num_iterations)
    assert [probe.probe_id for probe in split] == [probe.probe_id for probe in probes]
    shuffled = rng.sample(probes, len(probes))
    again = {probe.probe_id: probe.split for probe in split_probes(shuffled, seed=seed, num_iterations=num_iterations)}
    assert again == {probe.probe_id: probe.split for probe in split}
    by_image = defaultdict(set)
    for probe in split:
        by_image[probe.image].add(probe.split)
    assert all(len(splits) == 1 for splits in by_image.values())


def test_shares_within_a_cell() -> None:
    probes = [Probe(str(n), "", CELLS[0], str(n).encode(), "q", (), "1", 0.0) for n in range(100)]
    counts = defaultdict(int)
    for probe in split_probes(probes, seed=1, num_iterations=3):
        counts[probe.split] += 1
    assert counts == {CORE: 40, EXAM: 40, "fresh-0": 5, "fresh-1": 5, "fresh-2": 5, "fresh-3": 5}


def test_two_probes_of_a_cell_are_one_to_decide_by_and_one_for_the_exam() -> None:
    probes = [Probe(str(n), "", CELLS[0], str(n).encode(), "q", (), "1", 0.0) for n in range(2)]
    assert {probe.split for probe in split_probes(probes, seed=1, num_iterations=3)} == {CORE, EXAM}
