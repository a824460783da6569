"""The rendered generator's handler, its gRPC service, its place in the registry, and what it says again after a crash."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from spiral.v1 import generator_pb2_grpc

from services.generators.attendance import Attendance
from services.generators.candidate_identity import candidates_name, lease_seed
from services.generators.lease_record import announcement, check_kind, commit_candidates, standing_announcements
from services.generators.rendered.candidates import CELLS, KIND, MAX_CANDIDATES, VERSION, check_request, make_candidate, make_candidates
from services.generators.rendered.settings import RenderedSettings
from services.generators.servicer import GeneratorServicer
from shared.domain import ArtifactRef, Candidate, Cell, GeneratorIdentity, GeneratorRegistration
from shared.errors import Rejected
from shared.events import CandidatesGenerated, Event, GenerationRequested
from shared.ports import Cause, Delivery
from shared.run_spec import RunSpec
from shared.service import Ports, Service, Servicer
from shared.tables import write_candidates

_CHUNK = 32
"""Candidates drawn between two looks at whether the caller still listens."""


def measure_unit_cost_s(num_per_cell: int = 4, image_size_px: int = 64) -> float:
    """Seconds of one core per candidate, over all cells."""
    started = time.thread_time()
    for cell in CELLS:
        make_candidates(cell, num_per_cell, 0, 0.5, image_size_px)
    return (time.thread_time() - started) / (num_per_cell * len(CELLS))


class RenderedGenerator:
    """Draws what leases ask for."""

    def __init__(self, ports: Ports, identity: GeneratorIdentity) -> None:
        self._ports = ports
        self._identity = identity
        self.num_open_leases = 0

    async def on_generation_requested(self, event: GenerationRequested, delivery: Delivery) -> Sequence[Event]:
        """Draws a lease's candidates and commits them, unless they stand already.

        Raises:
            Rejected: the run is unknown, or the lease asks for what this generator does not make.
        """
        lease, artifacts = event.lease, self._ports.artifacts
        check_kind(lease, KIND)
        await self._ports.runs.get(event.run_id)
        standing = await artifacts.find(candidates_name(event.run_id, event.iteration, lease.lease_id))
        if standing is None:
            self.num_open_leases += 1
            try:
                standing = await self._draw(event, delivery.cause)
            finally:
                self.num_open_leases -= 1
                self._ports.activity.report("")
        return [await announcement(artifacts, standing)]

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """Every lease of a run whose candidates a generator of this kind committed, with its announcement."""
        return await standing_announcements(self._ports.artifacts, spec, KIND)

    async def _draw(self, event: GenerationRequested, cause: Cause) -> ArtifactRef:
        lease, artifacts = event.lease, self._ports.artifacts
        check_request(lease.cell, lease.num_candidates, lease.difficulty, lease.image_size_px)
        self._ports.activity.report(f"drawing {lease.cell}", run_id=event.run_id, num_total=lease.num_candidates)
        arguments = (lease.cell, lease.num_candidates, lease_seed(lease), lease.difficulty, lease.image_size_px)
        candidates = await asyncio.to_thread(make_candidates, *arguments)
        generated = CandidatesGenerated(
            run_id=event.run_id,
            iteration=event.iteration,
            lease=lease,
            candidates=await artifacts.put_bytes(await asyncio.to_thread(write_candidates, candidates)),
            num_candidates=len(candidates),
            generator=self._identity,
        )
        return await commit_candidates(artifacts, generated, cause=cause)


class RenderedServicer(GeneratorServicer):
    """Candidates outside of leases, and draining, over gRPC."""

    async def preview(self, cell: Cell, num_candidates: int, seed: int, difficulty: float, image_size_px: int) -> AsyncIterator[Candidate]:
        """Draws candidates in chunks.

        Raises:
            Rejected: the cell is not served, or a value is out of range.
        """
        if num_candidates < 1:
            raise Rejected(f"num_candidates is {num_candidates}; it must be 1 to {MAX_CANDIDATES}")
        check_request(cell, num_candidates, difficulty, image_size_px)

        def draw(start: int) -> list[Candidate]:
            indices = range(start, min(start + _CHUNK, num_candidates))
            return [make_candidate(cell, index, seed, difficulty, image_size_px) for index in indices]

        for start in range(0, num_candidates, _CHUNK):
            for candidate in await asyncio.to_thread(draw, start):
                yield candidate


@asynccontextmanager
async def build(ports: Ports, settings: RenderedSettings) -> AsyncIterator[Service]:
    """The rendered generator, ready to run."""
    identity = GeneratorIdentity(kind=KIND, version=VERSION, instance_id=ports.instance_id)
    unit_cost_s = await asyncio.to_thread(measure_unit_cost_s)
    entry = GeneratorRegistration(generator=identity, cells=CELLS, unit_cost_s=unit_cost_s, grpc_address="", is_draining=False)
    generator, attendance = RenderedGenerator(ports, identity), Attendance(ports.generators, entry, every_s=settings.announce_every_s)
    servicer = RenderedServicer(attendance, drain=ports.drain, num_open_leases=lambda: generator.num_open_leases)
    yield Service(
        handlers={GenerationRequested: generator.on_generation_requested},
        servicers=(Servicer("spiral.v1.GeneratorService", generator_pb2_grpc.add_GeneratorServiceServicer_to_server, servicer),),
        reconcile=generator.reconcile,
        on_drain=attendance.announce_draining,
        kind=KIND,
        background=(lambda: attendance.beat(ports.grpc_address),),
    )
