"""The rendered generator's handler, its gRPC service, its place in the registry, and what it says again after a crash."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc.aio
from spiral.v1 import generator_pb2, generator_pb2_grpc

from services.generators.rendered.candidates import CELLS, KIND, MAX_CANDIDATES, VERSION, check_request, make_candidate, make_candidates
from services.generators.rendered.settings import RenderedSettings
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, Candidate, Cell, GeneratorIdentity, GeneratorRegistration, Lease
from shared.errors import Rejected, Retryable
from shared.events import CandidatesGenerated, Event, GenerationRequested
from shared.ports import Cause, Delivery
from shared.registry import GeneratorRegistry
from shared.run_spec import RunSpec
from shared.service import Ports, Service, Servicer
from shared.tables import write_candidates
from shared.telemetry import log
from shared.wire import from_wire, to_wire
from shared.wire_json import from_json, to_json

CANDIDATES_FILE = "candidates.parquet"
_CHUNK = 32
"""Candidates drawn between two looks at whether the caller still listens."""


def candidates_name(run_id: str, iteration: int, lease_id: str) -> str:
    """The manifest of a lease's candidates."""
    return f"runs/{run_id}/{iteration}/candidates/{lease_id}"


def lease_seed(lease: Lease) -> int:
    """The seed of a lease's list: leases of one seed differ by their id."""
    return int.from_bytes(hashlib.sha256(f"{lease.seed}/{lease.lease_id}".encode()).digest()[:8], "big")


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
        if lease.kind != KIND:
            raise Rejected(f"lease {lease.lease_id} is for generators of kind {lease.kind!r}; this one is of kind {KIND!r}")
        await self._ports.runs.get(event.run_id)
        name = candidates_name(event.run_id, event.iteration, lease.lease_id)
        standing = await artifacts.find(name)
        if standing is None:
            self.num_open_leases += 1
            try:
                standing = await self._draw(event, name, delivery.cause)
            finally:
                self.num_open_leases -= 1
                self._ports.activity.report("")
        return [await announcement(artifacts, standing)]

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """Every lease of a run whose candidates a generator of this kind committed, with its announcement."""
        artifacts, said = self._ports.artifacts, list[tuple[Cause, Sequence[Event]]]()
        for name in await artifacts.names(f"runs/{spec.run_id}/"):
            ref = await artifacts.find(name) if "/candidates/" in name else None
            if ref is None:
                continue
            event = await announcement(artifacts, ref)
            if event.generator.kind == KIND:
                said.append(((await artifacts.manifest(ref)).cause, [event]))
        return said

    async def _draw(self, event: GenerationRequested, name: str, cause: Cause) -> ArtifactRef:
        lease, artifacts = event.lease, self._ports.artifacts
        check_request(lease.cell, lease.num_candidates, lease.difficulty, lease.image_size_px)
        self._ports.activity.report(f"drawing {lease.cell}", run_id=event.run_id, num_total=lease.num_candidates)
        arguments = (lease.cell, lease.num_candidates, lease_seed(lease), lease.difficulty, lease.image_size_px)
        candidates = await asyncio.to_thread(make_candidates, *arguments)
        parquet = await artifacts.put_bytes(await asyncio.to_thread(write_candidates, candidates))
        generated = CandidatesGenerated(
            run_id=event.run_id,
            iteration=event.iteration,
            lease=lease,
            candidates=parquet,
            num_candidates=len(candidates),
            generator=self._identity,
        )
        return await artifacts.commit(name, {CANDIDATES_FILE: parquet}, cause=cause, metadata={"event": to_json(generated)})


async def announcement(artifacts: Artifacts, candidates: ArtifactRef) -> CandidatesGenerated:
    """What a committed set of candidates has to say, from its manifest alone; always the same."""
    return from_json(CandidatesGenerated, (await artifacts.manifest(candidates)).metadata["event"])


class Attendance:
    """This replica's entry in the registry, said again and again while it lives."""

    def __init__(self, registry: GeneratorRegistry, entry: GeneratorRegistration, *, every_s: float) -> None:
        self._registry = registry
        self.entry = entry
        self._every_s = every_s

    async def announce_draining(self) -> None:
        """Says that this replica takes no more leases."""
        self.entry = replace(self.entry, is_draining=True)
        await self._registry.announce(self.entry)

    async def beat(self, ports: Ports) -> None:
        """Announces until cancelled, then withdraws; a broker that is away is no reason to end."""
        self.entry = replace(self.entry, grpc_address=ports.grpc_address())
        try:
            while True:
                try:
                    await self._registry.announce(self.entry)
                except Retryable as error:
                    log.debug("announcement not heard", reason=str(error))
                await asyncio.sleep(self._every_s)
        finally:
            await self._registry.withdraw(self.entry)


class GeneratorServicer(generator_pb2_grpc.GeneratorServiceServicer):
    """Candidates outside of leases, and draining, over gRPC."""

    def __init__(self, ports: Ports, generator: RenderedGenerator, attendance: Attendance) -> None:
        self._ports = ports
        self._generator = generator
        self._attendance = attendance

    async def DescribeGenerator(  # noqa: N802
        self, request: generator_pb2.DescribeGeneratorRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> generator_pb2.DescribeGeneratorResponse:
        """Who this is, which cells it serves, and at which cost."""
        entry = self._attendance.entry
        response = generator_pb2.DescribeGeneratorResponse(generator=to_wire(entry.generator), unit_cost_s=entry.unit_cost_s)  # type: ignore[arg-type]
        response.cells.extend(to_wire(cell) for cell in entry.cells)  # type: ignore[misc]
        return response

    async def GenerateCandidates(  # noqa: N802
        self, request: generator_pb2.GenerateCandidatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[generator_pb2.GenerateCandidatesResponse]:
        """Draws and streams candidates; the same request gets the same ones."""
        cell = from_wire(Cell, request.cell)
        if request.num_candidates < 1:
            raise Rejected(f"num_candidates is {request.num_candidates}; it must be 1 to {MAX_CANDIDATES}")
        check_request(cell, request.num_candidates, request.difficulty, request.image_size_px)

        def draw(start: int) -> list[Candidate]:
            indices = range(start, min(start + _CHUNK, request.num_candidates))
            return [make_candidate(cell, index, request.seed, request.difficulty, request.image_size_px) for index in indices]

        for start in range(0, request.num_candidates, _CHUNK):
            for candidate in await asyncio.to_thread(draw, start):
                yield generator_pb2.GenerateCandidatesResponse(candidate=to_wire(candidate))  # type: ignore[arg-type]

    async def Drain(  # noqa: N802
        self, request: generator_pb2.DrainRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> generator_pb2.DrainResponse:
        """Takes no more leases, finishes what is held, then exits."""
        await self._attendance.announce_draining()
        self._ports.drain()
        return generator_pb2.DrainResponse(num_open_leases=self._generator.num_open_leases)


@asynccontextmanager
async def build(ports: Ports, settings: RenderedSettings) -> AsyncIterator[Service]:
    """The rendered generator, ready to run."""
    identity = GeneratorIdentity(kind=KIND, version=VERSION, instance_id=ports.instance_id)
    unit_cost_s = await asyncio.to_thread(measure_unit_cost_s)
    entry = GeneratorRegistration(generator=identity, cells=CELLS, unit_cost_s=unit_cost_s, grpc_address="", is_draining=False)
    generator, attendance = RenderedGenerator(ports, identity), Attendance(ports.generators, entry, every_s=settings.announce_every_s)
    yield Service(
        handlers={GenerationRequested: generator.on_generation_requested},
        servicers=(
            Servicer(
                "spiral.v1.GeneratorService",
                generator_pb2_grpc.add_GeneratorServiceServicer_to_server,
                GeneratorServicer(ports, generator, attendance),
            ),
        ),
        reconcile=generator.reconcile,
        on_drain=attendance.announce_draining,
        kind=KIND,
        background=(lambda: attendance.beat(ports),),
    )
