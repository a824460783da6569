"""The planner's handlers, its gRPC service and what it says again after a crash.

Every decision is written to a ledger by compare-and-set first, and what is said follows from the ledger alone. So a crash between the two
changes nothing: the event comes again, finds its decision made, and the same words follow.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, cast

import grpc.aio
from spiral.v1 import events_pb2, planner_pb2, planner_pb2_grpc

from services.planner.audits import CellAudits, held_back, with_word
from services.planner.codec import from_json, to_json
from services.planner.consequences import causes, consequences, unsaid, with_said
from services.planner.ledger import OPENING, PlanLedger, as_answered, find_lease, is_as_issued
from services.planner.mixture import plan_mixture
from services.planner.plan_steps import Reviewed, apply_review, catch_up, give_up, open_plan
from services.planner.routing import Routing, route
from services.planner.run_ledger import RunLedger, decide, plan_of
from services.planner.settings import PlannerSettings
from services.planner.waiting import Vigil, Wait, waits_of
from shared.domain import Cell, CellDiagnosis, RejectionReason
from shared.errors import NotFound, Rejected
from shared.events import CandidatesReviewed, Event, GenerationRequested, LabelAudited, MixturePlanned, WeaknessReport
from shared.ports import Cause, Delivery, KeyValue, compare_and_set
from shared.run_spec import PlanningSpec, RunSpec
from shared.service import Keyed, Ports, Service, Servicer
from shared.telemetry import log
from shared.wire import from_wire, to_wire

BUCKET = "spiral_ledgers"


def plan_key(run_id: str, iteration: int) -> str:
    """Where an iteration's plan is kept; the run's own ledger lies under the run id."""
    return f"{run_id}.{iteration}"


def audits_key(run_id: str, cell: Cell) -> str:
    """Where the words on one cell's labels are kept. Not in the run's ledger: a value of the broker holds a megabyte."""
    return f"{_audits_of(run_id)}{cell.category.value}.{cell.question_type.value}"


def _audits_of(run_id: str) -> str:
    return f"{run_id}.audits."


class Planner:
    """Promotes models, plans mixtures, hands out leases and closes plans."""

    def __init__(self, ports: Ports, *, generator_patience_s: float, start_difficulty: float, top_difficulty: float) -> None:
        self._ports = ports
        self._vigil = Vigil(generator_patience_s)
        self._start_difficulty = start_difficulty
        self._top_difficulty = top_difficulty

    async def on_weakness_report(self, event: WeaknessReport, delivery: Delivery) -> Sequence[Event | Keyed]:
        """Promotes or keeps the champion; then plans the next mixture and asks for its first leases, or ends the run.

        Raises:
            Rejected: the base model was never reported, or the planning values make no plan.
        """
        spec = await self._ports.runs.get(event.run_id)
        bucket = await self._ports.bucket(BUCKET)
        routing = await self._routing()
        trained_on = await _plan(bucket, event.run_id, event.iteration)
        held = held_back(await _audits(bucket, event.run_id), spec.quality.min_label_precision)

        async def change(stored: bytes | None) -> tuple[bytes | None, RunLedger]:
            before = from_json(RunLedger, stored) if stored else None
            costs_s = routing.unit_costs_s(spec.planning.kind_shares)
            after = decide(before, event, spec, cause=delivery.cause, trained_on=trained_on, unit_costs_s=costs_s, held_back=held)
            return None if after is before else to_json(after), after

        ledger = await compare_and_set(bucket, event.run_id, change)
        if ledger.last.iteration > event.iteration:
            return []
        if ledger.last.planned is None:
            return ledger.last.events
        plan = await self._open(bucket, ledger, ledger.last.planned, spec, routing)
        return [*ledger.last.events, *_keyed(consequences(plan, OPENING))]

    async def on_candidates_reviewed(self, event: CandidatesReviewed, delivery: Delivery) -> Sequence[Event | Keyed]:
        """Refills what was rejected, or closes the plan. Only the first review of a lease counts, and only from it anything follows.

        Raises:
            NotFound: the plan never issued the lease.
        """
        bucket = await self._ports.bucket(BUCKET)
        routing = await self._routing()
        reasons = [verdict.reason for verdict in event.verdicts]
        review = Reviewed(
            lease_id=event.lease.lease_id,
            num_made=len(event.verdicts),
            num_accepted=sum(verdict.accepted for verdict in event.verdicts),
            num_too_easy=reasons.count(RejectionReason.TOO_EASY),
            num_too_hard=reasons.count(RejectionReason.TOO_HARD),
            cause=delivery.cause,
        )
        void = replace(review, num_accepted=0)

        async def change(stored: bytes | None) -> tuple[bytes | None, PlanLedger]:
            if stored is None:
                raise NotFound(f"run {event.run_id}, iteration {event.iteration}: no plan was ever opened for lease {review.lease_id}")
            before = from_json(PlanLedger, stored)
            is_ours = is_as_issued(before, event.lease)
            if not is_ours:
                # Quality judged by what the generator said of its lease; another recipe would have spared it the pass rate.
                log.warning("candidates came with another lease than was issued: none of them counts", lease_id=review.lease_id)
            after = apply_review(as_answered(before, event.lease), review if is_ours else void, routing.routes)
            return None if after == before else to_json(after), after

        plan = await compare_and_set(bucket, plan_key(event.run_id, event.iteration), change)
        self._report(plan)
        _, lease = find_lease(plan, review.lease_id)
        if lease.reviewed_for is None or lease.reviewed_for.event_id != delivery.cause.event_id:
            # Two kinds answered one lease. Said under a second cause, what followed would be new to everybody, and done twice.
            return []
        return _keyed(consequences(plan, review.lease_id))

    async def on_label_audited(self, event: LabelAudited, delivery: Delivery) -> Sequence[Event | Keyed]:
        """Notes what a person said of a label. It counts when the next mixture is planned; nothing follows from it before.

        Raises:
            NotFound: nobody asked for that run.
            Rejected: the revision is 0.
        """
        if event.revision < 1:
            raise Rejected(f"label.audited for {event.sample_id}: revision is 0, but words on a sample are counted from 1")
        await self._ports.runs.get(event.run_id)
        bucket = await self._ports.bucket(BUCKET)

        async def change(stored: bytes | None) -> tuple[bytes | None, None]:
            before = from_json(CellAudits, stored) if stored else CellAudits(event.cell)
            after = with_word(before, event)
            return None if after is before else to_json(after), None

        await compare_and_set(bucket, audits_key(event.run_id, event.cell), change)
        return []

    async def watch(self, spec: RunSpec) -> AsyncGenerator[tuple[Cause, Sequence[Event | Keyed]], None]:
        """Issues leases anew whose kinds vanished, and those that nobody served when their turn came; gives up on what waited too long.

        The ledger notes what is to be said before it is said, and that it was said after: whoever looks next, after a lost answer of the
        broker or in place of a replica that died, says what is left.
        """
        bucket = await self._ports.bucket(BUCKET)
        stored = await bucket.get(spec.run_id)
        last = from_json(RunLedger, stored.value).last if stored else None
        if last is None or last.planned is None:
            return
        key = plan_key(spec.run_id, last.planned.iteration)

        async def change(kept: bytes | None) -> tuple[bytes | None, tuple[PlanLedger | None, Sequence[Wait], Sequence[Cell]]]:
            before = from_json(PlanLedger, kept) if kept else None
            if before is None or before.closed_by is not None:
                return None, (before, (), ())
            routing = await self._routing()
            caught_up = catch_up(before, routing.routes, routing.kinds)
            after = give_up(caught_up, routing.routes, self._vigil.hopeless(spec.run_id, waits_of(caught_up, routing), monotonic()))
            given_up = [cell.cell for cell, was in zip(after.cells, caught_up.cells, strict=True) if was.is_served and not cell.is_served]
            return None if after == before else to_json(after), (after, waits_of(after, routing), given_up)

        plan, waits, given_up = await compare_and_set(bucket, key, change)
        if plan is None:
            return
        if self._vigil.note(spec.run_id, waits, given_up):
            self._report(plan)
        said: list[Event] = []
        for cause, events in unsaid(plan):
            yield cause, _keyed(events)
            said += events

        async def note(kept: bytes | None) -> tuple[bytes | None, None]:
            before = from_json(PlanLedger, kept) if kept else plan
            after = with_said(before, said)
            return None if after == before else to_json(after), None

        if said:
            await compare_and_set(bucket, key, note)

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event | Keyed]]]:
        """The last decision of a run and every review applied to its plan, with what followed."""
        bucket = await self._ports.bucket(BUCKET)
        stored = await bucket.get(spec.run_id)
        if stored is None:
            return []
        last = from_json(RunLedger, stored.value).last
        if last.planned is None:
            return [(last.cause, last.events)]
        plan = await _plan(bucket, spec.run_id, last.planned.iteration)
        if plan is None:
            # The report that was decided is not acknowledged: it comes again and opens the plan.
            return []
        self._report(plan)
        said = [(cause, _keyed(consequences(plan, lease_id))) for cause, lease_id in causes(plan)]
        return [(last.cause, (*last.events, *said[0][1])), *said[1:]]

    async def _routing(self) -> Routing:
        return route(await self._ports.generators.living(), await self._ports.generators.paused())

    async def _open(self, bucket: KeyValue, ledger: RunLedger, planned: MixturePlanned, spec: RunSpec, routing: Routing) -> PlanLedger:
        """The opened plan; the one that stands where it was opened before."""

        async def change(stored: bytes | None) -> tuple[bytes | None, PlanLedger]:
            if stored is not None:
                return None, from_json(PlanLedger, stored)
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
        what = self._vigil.text(plan.run_id) or f"filling plan {plan.iteration}"
        accepted, wanted = sum(cell.num_accepted for cell in plan.cells), sum(cell.num_samples for cell in plan.cells)
        self._ports.activity.report(what, run_id=plan.run_id, num_done=accepted, num_total=wanted)


async def _plan(bucket: KeyValue, run_id: str, iteration: int) -> PlanLedger | None:
    entry = await bucket.get(plan_key(run_id, iteration))
    return from_json(PlanLedger, entry.value) if entry else None


async def _audits(bucket: KeyValue, run_id: str) -> list[CellAudits]:
    entries = [await bucket.get(key) for key in await bucket.keys(_audits_of(run_id))]
    return [from_json(CellAudits, entry.value) for entry in entries if entry]


def _keyed(events: Iterable[Event]) -> list[Event | Keyed]:
    """Leases go by their ids: one that is issued late, or to another kind, leaves the ids of what follows beside it as they are."""
    return [Keyed(event, event.lease.lease_id) if isinstance(event, GenerationRequested) else event for event in events]


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
        generator_patience_s=settings.generator_patience_s,
        start_difficulty=settings.start_difficulty,
        top_difficulty=settings.top_difficulty,
    )
    yield Service(
        handlers={
            WeaknessReport: planner.on_weakness_report,
            CandidatesReviewed: planner.on_candidates_reviewed,
            LabelAudited: planner.on_label_audited,
        },
        servicers=(Servicer("spiral.v1.PlannerService", planner_pb2_grpc.add_PlannerServiceServicer_to_server, PlannerServicer()),),
        reconcile=planner.reconcile,
        watch=planner.watch,
    )
