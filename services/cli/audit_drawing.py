"""Which accepted samples a person is shown: some of each cell and iteration, drawn at random from the sealed datasets."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.artifacts import Artifacts
from shared.domain import Cell
from shared.run_spec import RunSpec
from shared.tables import Sample, read_samples


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample to be audited, and the iteration whose dataset holds it."""

    iteration: int
    sample: Sample


def draw(samples: Iterable[Sample], *, per_cell: int, seed: int) -> list[Sample]:
    """At most `per_cell` samples of each cell, cells taking turns, so that whoever stops early has seen some of each.

    The same samples and seed give the same draw, whatever their order; a larger one begins as the smaller.
    """
    by_cell: dict[Cell, list[tuple[bytes, Sample]]] = defaultdict(list)
    for sample in samples:
        lot = hashlib.sha256(f"{seed}/audit/{sample.sample_id}".encode()).digest()
        best = by_cell[sample.cell]
        best.append((lot, sample))
        best.sort(key=lambda drawn: drawn[0])
        # Images are large: what is not drawn is let go at once.
        del best[per_cell:]
    turns = ((turn, cell, sample) for cell, best in by_cell.items() for turn, (_, sample) in enumerate(best))
    return [sample for _, _, sample in sorted(turns, key=lambda drawn: drawn[:2])]


async def draw_from_datasets(
    artifacts: Artifacts, spec: RunSpec, *, per_cell: int, iterations: Collection[int] = (), cells: Collection[Cell] = ()
) -> list[Drawn]:
    """The draw from every dataset that is sealed so far, oldest first; of some iterations and cells only, where any are named.

    Raises:
        Rejected, NotFound: a dataset is damaged, or one of its files is gone.
    """
    found = []
    for iteration in range(1, spec.num_iterations + 1):
        if not iterations or iteration in iterations:
            samples = await dataset_samples(artifacts, spec.run_id, iteration)
            wanted = (sample for sample in samples if not cells or sample.cell in cells)
            found += [Drawn(iteration, sample) for sample in draw(wanted, per_cell=per_cell, seed=spec.seed)]
    return found


async def dataset_samples(artifacts: Artifacts, run_id: str, iteration: int) -> list[Sample]:
    """The samples of an iteration's dataset; none before it is sealed."""
    dataset = await artifacts.find(f"runs/{run_id}/{iteration}/dataset")
    if dataset is None:
        return []
    files = (await artifacts.manifest(dataset)).files
    samples: list[Sample] = []
    for path in sorted(path for path in files if path.endswith(".parquet")):
        samples += read_samples(await artifacts.read_bytes(files[path]), f"{dataset.uri}#{path}")
    return samples
