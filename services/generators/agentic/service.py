"""The agentic generator as a service: its equipment, its place in the registry, and what it says where it stays out of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from spiral.v1 import generator_pb2_grpc

from services.generators.agentic.equipment import Equipment, open_equipment
from services.generators.agentic.generator import AgenticGenerator
from services.generators.agentic.preview import AgenticServicer
from services.generators.agentic.provenance import KIND, VERSION
from services.generators.agentic.request import CELLS
from services.generators.agentic.settings import AgenticSettings
from services.generators.agentic.unit_cost import UnitCost
from services.generators.attendance import Attendance
from shared.domain import GeneratorIdentity, GeneratorRegistration
from shared.errors import Rejected, Retryable
from shared.events import GenerationRequested
from shared.service import Ports, Service, Servicer
from shared.telemetry import log


@asynccontextmanager
async def build(ports: Ports, settings: AgenticSettings) -> AsyncIterator[Service]:
    """The agentic generator, ready to run, or idle where it lacks language models."""
    async with AsyncExitStack() as stack:
        equipment = await open_equipment(ports, settings, stack)
        identity = GeneratorIdentity(kind=KIND, version=VERSION, instance_id=ports.instance_id)
        unit_cost = UnitCost(settings.unit_cost_prior_s)
        entry = GeneratorRegistration(
            generator=identity,
            cells=CELLS,
            unit_cost_s=unit_cost.per_candidate_s,
            grpc_address="",
            is_draining=False,
            can_annotate=not isinstance(equipment, str) and len(equipment.pool) > 0,
            max_lease_size=settings.max_lease_size,
            draws_probes=False,
        )
        attendance = Attendance(
            ports.generators,
            entry,
            every_s=settings.announce_every_s,
            lacks=lambda: generator.lacking,
            activity=ports.activity,
        )

        def measured() -> None:
            attendance.entry = replace(attendance.entry, unit_cost_s=unit_cost.per_candidate_s)

        generator = AgenticGenerator(
            equipment,
            ports.artifacts,
            runs=ports.runs,
            activity=ports.activity,
            identity=identity,
            max_lease_size=settings.max_lease_size,
            unit_cost=unit_cost,
            measured=measured,
        )
        servicer = AgenticServicer(
            attendance,
            equipment,
            max_candidates=settings.max_lease_size,
            drain=ports.drain,
            num_open_leases=lambda: generator.num_open_leases,
        )
        yield Service(
            handlers={GenerationRequested: generator.on_generation_requested},
            servicers=(Servicer("spiral.v1.GeneratorService", generator_pb2_grpc.add_GeneratorServiceServicer_to_server, servicer),),
            reconcile=generator.reconcile,
            on_drain=attendance.announce_draining,
            kind=KIND,
            is_idle=isinstance(equipment, str),
            background=(
                lambda: attendance.beat(ports.grpc_address),
                lambda: _watch_models(equipment, settings.announce_every_s),
                lambda: _watch_pool(equipment, attendance, settings.pool_refresh_s),
            ),
        )


async def _watch_models(equipment: Equipment | str, every_s: float) -> None:
    """Sees until cancelled whether endpoints that were away are there again, without a lease that has to try."""
    while True:
        await asyncio.sleep(every_s)
        if not isinstance(equipment, str):
            await equipment.models.knock()


async def _watch_pool(equipment: Equipment | str, attendance: Attendance, every_s: float) -> None:
    """Takes in new images until cancelled; a store that is away, or a batch that can't be read, is no reason to end."""
    while True:
        await asyncio.sleep(every_s)
        if isinstance(equipment, str):
            continue
        try:
            num_new = await equipment.pool.refresh()
        except (Retryable, Rejected) as error:
            log.warning("the pool could not be looked through", reason=str(error))
            continue
        if num_new:
            log.info("new images in the pool", num_new=num_new, num_images=len(equipment.pool))
            attendance.entry = replace(attendance.entry, can_annotate=True)
