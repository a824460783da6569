"""The planner's handlers, its gRPC service and what it says again after a crash.

Every decision is written to a ledger by compare-and-set first, and what is said follows from the ledger alone. So a crash between the two
changes nothing: the event comes again, finds its decision made, and the same words follow.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc.aio
from spiral.v1 import events_pb2, planner_pb2, planner_pb2_grpc

from services.planner.codec import from_json, to_json
from services.planner.ledger import OPENING, PlanLedger, Reviewed, apply_review, causes, consequences, open_plan, reroute
from services.planner.mixture import plan_mixture
from services.planner.routing import Routing, route
from services.planner.run_ledger import RunLedger, decide, plan_of
from services.planner.settings import PlannerSettings
from shared.domain import Cell, CellDiagnosis, RejectionReason
from shared.errors import NotFound, Rejected, Retryable
from shared.events import CandidatesReviewed, Event, MixturePlanned, WeaknessReport
from shared.ports import Cause, Delivery, KeyValue, compare_and_set
from shared.run_spec import PlanningSpec, RunSpec
from shared.service import Ports, Service, Servicer
from shared.wire import from_wire, to_wire

BUCKET = "spiral_ledgers"


def plan_key(run_id: str, iteration: int) -> str:
    """Where an iteration's plan is kept; the run's own ledger lies under the run id."""
    return f"{run_id}.{iteration}"


class Planner:
    """Promotes models, plans mixtures, hands out leases and closes plans."""

    def __init__(self, ports: Ports, *, generator_patience: int, start_difficulty: float, top_difficulty: float) -> None:
        self._ports = ports
        self._patience = generator_patience
        self._start_difficulty = start_difficulty
        self._top_difficulty = top_difficulty

    async def on_weakness_report(self, event: WeaknessReport, delivery: Delivery) -> Sequence[Event]:
        """Promotes or keeps the champion; then plans the next mixture and asks for its first leases, or ends the run.

        Raises:
            Rejected: the base model was never reported, or the planning values make no plan.
            Retryable: no generator lives yet.
        """
        spec = await self._ports.runs.get(event.run_id)
        bucket = await self._ports.bucket(BUCKET)
        routing = await self._routing()
        trained_on = await _plan(bucket, event.run_id, event.iteration)

        async def change(stored: bytes | None) -> tuple[bytes | None, RunLedger]:
            before = from_json(RunLedger, stored) if stored else None
            after = decide(before, event, spec, cause=delivery.cause, trained_on=trained_on, unit_costs_s=routing.unit_costs_s)
            return None if after is before else to_json(after), after

        ledger = await compare_and_set(bucket, event.run_id, change)
        if ledger.last.iteration > event.iteration:
            return []
        if ledger.last.planned is None:
            return ledger.last.events
        plan = await self._open(bucket, ledger, ledger.last.planned, spec, routing, delivery)
        return [*ledger.last.events, *consequences(plan, OPENING)]

    async def on_candidates_reviewed(self, event: CandidatesReviewed, delivery: Delivery) -> Sequence[Event]:
        """Refills what was rejected, or closes the plan.

        Raises:
            NotFound: the plan never issued the lease.
            Retryable: the cell's generators are away, perhaps not for long.
        """
        bucket = await self._ports.bucket(BUCKET)
        routing = await self._routing()
        reasons = [verdict.reason for verdict in event.verdicts]
        review = Reviewed(
            lease_id=event.lease.lease_id,
            num_accepted=sum(verdict.accepted for verdict in event.verdicts),
            num_too_easy=reasons.count(RejectionReason.TOO_EASY),
            num_too_hard=reasons.count(RejectionReason.TOO_HARD),
            cause=delivery.cause,
        )

        async def change(stored: bytes | None) -> tuple[bytes | None, PlanLedger]:
            if stored is None:
                raise NotFound(f"run {event.run_id}, iteration {event.iteration}: no plan was ever opened for lease {review.lease_id}")
            before = from_json(PlanLedger, stored)
            after = apply_review(before, review, routing.routes)
            if after is before:
                return None, before
            if delivery.attempt <= self._patience and _unserved(after) - _unserved(before):
                raise Retryable(f"no living generator serves {', '.join(sorted(map(str, _unserved(after) - _unserved(before))))}")
            after = reroute(after, routing.routes, routing.kinds, by=review.lease_id)
            return to_json(after), after

        plan = await compare_and_set(bucket, plan_key(event.run_id, event.iteration), change)
        self._report(plan)
        return consequences(plan, review.lease_id)

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """The last decision of a run and every review applied to its plan, with what followed.

        Open leases of kinds that vanished are handed to others on the way.
        """
        bucket = await self._ports.bucket(BUCKET)
        stored = await bucket.get(spec.run_id)
        if stored is None:
            return []
        last = from_json(RunLedger, stored.value).last
        if last.planned is None:
            return [(last.cause, last.events)]
        routing = await self._routing()

        async def change(kept: bytes | None) -> tuple[bytes | None, PlanLedger | None]:
            if kept is None:
                return None, None
            before = from_json(PlanLedger, kept)
            after = reroute(before, routing.routes, routing.kinds)
            return None if after == before else to_json(after), after

        plan = await compare_and_set(bucket, plan_key(spec.run_id, last.planned.iteration), change)
        if plan is None:
            # The report that was decided is not acknowledged: it comes again and opens the plan.
            return []
        self._report(plan)
        said = [(cause, consequences(plan, lease_id)) for cause, lease_id in causes(plan)]
        return [(last.cause, (*last.events, *said[0][1])), *said[1:]]

    async def _routing(self) -> Routing:
        return route(await self._ports.generators.living())

    async def _open(
        self, bucket: KeyValue, ledger: RunLedger, planned: MixturePlanned, spec: RunSpec, routing: Routing, delivery: Delivery
    ) -> PlanLedger:
        """The opened plan; the one that stands where it was opened before."""

        async def change(stored: bytes | None) -> tuple[bytes | None, PlanLedger]:
            if stored is not None:
                return None, from_json(PlanLedger, stored)
            if not routing.routes and delivery.attempt <= self._patience:
                raise Retryable("no generator lives: start one, say `python -m services.generators.rendered`")
            fresh = plan_of(ledger, planned, spec, start_difficulty=self._start_difficulty, top_difficulty=self._top_difficulty)
            opened = open_plan(fresh, routing.routes)
            return to_json(opened), opened

        plan = await compare_and_set(bucket, plan_key(planned.run_id, planned.iteration), change)
        self._report(plan)
        return plan

    def _report(self, plan: PlanLedger) -> None:
        if plan.closed_by is not None:
            self._ports.activity.report("")
            return
        accepted, wanted = sum(cell.num_accepted for cell in plan.cells), sum(cell.num_samples for cell in plan.cells)
        self._ports.activity.report(f"filling plan {plan.iteration}", run_id=plan.run_id, num_done=accepted, num_total=wanted)


async def _plan(bucket: KeyValue, run_id: str, iteration: int) -> PlanLedger | None:
    entry = await bucket.get(plan_key(run_id, iteration))
    return from_json(PlanLedger, entry.value) if entry else None


def _unserved(plan: PlanLedger) -> set[Cell]:
    return {cell.cell for cell in plan.cells if not cell.is_served}


class PlannerServicer(planner_pb2_grpc.PlannerServiceServicer):
    """What-if planning, over gRPC."""

    async def PreviewMixture(  # noqa: N802
        self, request: planner_pb2.PreviewMixtureRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> planner_pb2.PreviewMixtureResponse:
        """The mixture that a diagnosis would lead to, without publishing anything."""
        if not request.HasField("planning"):
            raise Rejected("planning is missing: name at least num_samples and max_candidates")
        previous = {from_wire(Cell, weight.cell): weight.weight for weight in request.previous_weights}
        cells = [from_wire(CellDiagnosis, cell) for cell in request.cells]
        quotas = plan_mixture(cells, from_wire(PlanningSpec, request.planning), previous_weights=previous)
        return planner_pb2.PreviewMixtureResponse(quotas=[cast(events_pb2.CellQuota, to_wire(quota)) for quota in quotas])


@asynccontextmanager
async def build(ports: Ports, settings: PlannerSettings) -> AsyncIterator[Service]:
    """The planner, ready to run."""
    planner = Planner(
        ports,
        generator_patience=settings.generator_patience,
        start_difficulty=settings.start_difficulty,
        top_difficulty=settings.top_difficulty,
    )
    yield Service(
        handlers={WeaknessReport: planner.on_weakness_report, CandidatesReviewed: planner.on_candidates_reviewed},
        servicers=(Servicer("spiral.v1.PlannerService", planner_pb2_grpc.add_PlannerServiceServicer_to_server, PlannerServicer()),),
        reconcile=planner.reconcile,
    )
