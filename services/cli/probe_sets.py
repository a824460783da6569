"""Probes that the running generators draw: the default where a user brings none."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

import grpc.aio
from spiral.v1 import generator_pb2, generator_pb2_grpc, types_pb2

from services.cli.run_settings import ProbeCounts
from services.cli.splits import CORE, EXAM, fresh
from shared import wire
from shared.domain import Candidate, Cell, GeneratorRegistration
from shared.errors import Retryable
from shared.rpc import open_channel, translated
from shared.tables import Probe

DIFFICULTY = 0.5
SPARE_SHARE = 0.5
"""So much more is asked for, to make up for repetitions."""
MAX_ROUNDS = 8
CALL_TIMEOUT_S = 300.0


def wanted_splits(counts: ProbeCounts, num_iterations: int) -> list[tuple[str, int]]:
    """Split and probes per cell, the exam first: what repeats an exam item goes nowhere else."""
    return [(EXAM, counts.exam), (CORE, counts.core), *((fresh(k), counts.fresh) for k in range(num_iterations + 1))]


def expected_counts(cells: Sequence[Cell], counts: ProbeCounts, num_iterations: int) -> dict[Cell, Counter[str]]:
    """What `draw_probes` would draw for these cells."""
    return {cell: Counter(dict(wanted_splits(counts, num_iterations))) for cell in cells}


def probe_seed(seed: int, split: str, cell: Cell, attempt: int) -> int:
    """The seed of one call; every split and cell has its own."""
    return int.from_bytes(hashlib.sha256(f"{seed}/probes/{split}/{cell}/{attempt}".encode()).digest()[:6], "big")


def makers(entries: Sequence[GeneratorRegistration]) -> dict[Cell, GeneratorRegistration]:
    """For each cell that somebody draws probes of, the cheapest that is not draining; ties go to the first kind by name."""
    chosen: dict[Cell, GeneratorRegistration] = {}
    for entry in sorted(entries, key=lambda entry: (entry.generator.kind, entry.generator.instance_id)):
        for cell in entry.cells:
            if entry.draws_probes and not entry.is_draining and (cell not in chosen or entry.unit_cost_s < chosen[cell].unit_cost_s):
                chosen[cell] = entry
    return dict(sorted(chosen.items()))


async def draw_probes(
    entries: Sequence[GeneratorRegistration],
    *,
    seed: int,
    num_iterations: int,
    counts: ProbeCounts,
    image_size_px: int,
    report: Callable[[int, int], None],
) -> list[Probe]:
    """Distinct probes for every served cell and split; the same seed draws the same probes.

    Args:
        entries: the living generators.
        seed: the run's.
        num_iterations: fresh splits are drawn for evaluations 0 to this.
        counts: probes per cell.
        image_size_px: side of the images.
        report: told cells done and cells in total.

    Raises:
        Retryable: no generator lives, or one went away meanwhile.
    """
    chosen = makers(entries)
    if not chosen:
        raise Retryable("no generator lives that could draw probes: start one, or bring your own with --probes FILE")
    probes: list[Probe] = []
    channels = {entry.grpc_address: open_channel(entry.grpc_address) for entry in chosen.values()}
    try:
        for number, (cell, entry) in enumerate(chosen.items()):
            report(number, len(chosen))
            stub = generator_pb2_grpc.GeneratorServiceStub(channels[entry.grpc_address])
            seen: set[str] = set()
            for split, num_wanted in wanted_splits(counts, num_iterations):
                drawn = await _draw(stub, cell, split, num_wanted, seed, image_size_px, seen)
                probes += [_probe(candidate, split) for candidate in drawn]
        report(len(chosen), len(chosen))
    finally:
        for channel in channels.values():
            await channel.close(None)
    return probes


async def _draw(
    stub: "generator_pb2_grpc.GeneratorServiceAsyncStub",
    cell: Cell,
    split: str,
    num_wanted: int,
    seed: int,
    image_size_px: int,
    seen: set[str],
) -> list[Candidate]:
    drawn: list[Candidate] = []
    for attempt in range(MAX_ROUNDS):
        num_missing = num_wanted - len(drawn)
        if num_missing <= 0:
            break
        request = generator_pb2.GenerateCandidatesRequest(
            cell=cast(types_pb2.Cell, wire.to_wire(cell)),
            num_candidates=num_missing + round(num_wanted * SPARE_SHARE) + 1,
            seed=probe_seed(seed, split, cell, attempt),
            difficulty=DIFFICULTY,
            image_size_px=image_size_px,
        )
        try:
            responses = [response async for response in stub.GenerateCandidates(request, timeout=CALL_TIMEOUT_S)]
        except grpc.aio.AioRpcError as error:
            raise translated(error) from error
        for response in responses:
            candidate = wire.from_wire(Candidate, response.candidate)
            if candidate.candidate_id not in seen and len(drawn) < num_wanted:
                seen.add(candidate.candidate_id)
                drawn.append(candidate)
    return drawn


def _probe(candidate: Candidate, split: str) -> Probe:
    return Probe(
        probe_id=candidate.candidate_id[:24],
        split=split,
        cell=candidate.cell,
        image=candidate.image,
        question=candidate.question,
        choices=candidate.choices,
        answer=candidate.answer,
        tolerance=candidate.tolerance,
    )
