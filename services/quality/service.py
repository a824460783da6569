"""Quality's handlers, its gRPC service and what it says again after a crash."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from spiral.v1 import quality_pb2, quality_pb2_grpc

from services.quality.checks import Caps
from services.quality.contract import check_lease_id, check_quality, iteration_of
from services.quality.datasets import CARD_FILE, dataset_announcement, dataset_metadata, reviewed_lease
from services.quality.known_samples import KnownSamples
from services.quality.pass_rates import PassRates
from services.quality.records import (
    FINGERPRINTS_FILE,
    SAMPLES_FILE,
    VERDICTS_FILE,
    accepted_samples,
    announcement,
    marks_of,
    metadata_of,
    review_name,
    write_marks,
    write_verdicts,
)
from services.quality.review import LeaseReview, Screened, screen
from services.quality.sealing import dataset_card, dataset_name, seal
from services.quality.settings import QualitySettings
from shared.catalogue import Room
from shared.domain import ArtifactRef, Candidate, Lease, Verdict
from shared.errors import NotFound, Rejected
from shared.events import CandidatesGenerated, Event, MixturePlanned, PlanClosed
from shared.in_parallel import in_parallel
from shared.ports import Cause, Delivery
from shared.run_spec import RunSpec
from shared.service import Ports, Service, Servicer
from shared.tables import read_candidates, write_samples
from shared.wire import from_wire, to_wire

_NUM_PARALLEL = 8
_UNREADABLE = "unreadable"
"""In a review's manifest: why its candidates could not be read."""


class Quality:
    """Reviews candidates and seals datasets."""

    def __init__(self, ports: Ports, known: KnownSamples, pass_rates: PassRates, *, window_confidence: float) -> None:
        self._ports = ports
        self._known = known
        self._pass_rates = pass_rates
        self._window_confidence = window_confidence

    async def on_mixture_planned(self, event: MixturePlanned, delivery: Delivery) -> Sequence[Event]:
        """Reads the run's probes and exam ahead of the first lease.

        Raises:
            Rejected: the run is unknown, its quality settings are impossible, or its probes can't be read.
        """
        spec = await self._ports.runs.get(event.run_id)
        check_quality(spec.quality)
        self._ports.activity.report("fingerprinting probes", run_id=event.run_id)
        try:
            await self._known.firewall(spec)
        finally:
            self._ports.activity.report("")
        return ()

    async def on_candidates_generated(self, event: CandidatesGenerated, delivery: Delivery) -> AsyncGenerator[Event, None]:
        """Gives every candidate of a lease its verdict and commits the review, unless it stands already.

        Where two kinds answered one lease, the first answer counts. Candidates that can't be read never will be: their lease gets a review
        without a verdict, so that the plan goes on, and then the event is refused.

        Raises:
            Rejected: the run is unknown, or the candidates can't be read.
            Retryable: the evaluator or the store is away; nothing is committed.
        """
        artifacts = self._ports.artifacts
        check_lease_id(event.run_id, event.iteration, event.lease)
        name = review_name(event.run_id, event.iteration, event.lease.lease_id)
        standing = await artifacts.find(name)
        if standing is None:
            standing = await self._commit_review(event, name, delivery.cause)
        review = await artifacts.manifest(standing)
        if review.cause.event_id != delivery.cause.event_id:
            # Another answer to the lease was reviewed. Announced under a second cause, its review would be new to everybody.
            return
        yield await announcement(artifacts, standing)
        if fault := review.metadata.get(_UNREADABLE):
            raise Rejected(fault)

    async def on_plan_closed(self, event: PlanClosed, delivery: Delivery) -> Sequence[Event]:
        """Seals the accepted samples of the plan's leases, unless the dataset stands already.

        Raises:
            Rejected: no sample was accepted, or a review does not stand in the store.
        """
        standing = await self._ports.artifacts.find(dataset_name(event.run_id, event.iteration))
        if standing is None:
            self._ports.activity.report("sealing the dataset", run_id=event.run_id)
            try:
                standing = await self._seal(event, delivery.cause)
            finally:
                self._ports.activity.report("")
        return [await dataset_announcement(self._ports.artifacts, standing)]

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """Every committed dataset of a run, and the reviews of iterations without one, with what they have to say."""
        artifacts, said = self._ports.artifacts, list[tuple[Cause, Sequence[Event]]]()
        for iteration in range(1, spec.num_iterations + 1):
            dataset = await artifacts.find(dataset_name(spec.run_id, iteration))
            if dataset is not None:
                # A plan closes after its reviews were heard, so the dataset alone may be unsaid.
                said.append(((await artifacts.manifest(dataset)).cause, [await dataset_announcement(artifacts, dataset)]))
                continue
            for name in await artifacts.names(review_name(spec.run_id, iteration, "")):
                review = await artifacts.find(name)
                if review is not None:
                    said.append(((await artifacts.manifest(review)).cause, [await announcement(artifacts, review)]))
        return said

    async def judge(
        self, spec: RunSpec, iteration: int, lease: Lease, candidates: Sequence[Candidate]
    ) -> tuple[tuple[Screened, ...], tuple[Verdict, ...]]:
        """What the checks found for each candidate, and the verdicts; the same arguments give the same verdicts."""
        window = check_quality(spec.quality, self._window_confidence)
        caps = Caps(spec.quality.max_image_bytes, spec.quality.max_image_pixels)
        known = await self._known.known(spec, iteration, lease)
        screened = await asyncio.to_thread(screen, candidates, lease, caps, known)
        review = LeaseReview(screened, lease, window)
        turn = 0
        while asked := review.to_ask():
            self._ports.activity.report(f"asking the policy about {lease.cell}", run_id=spec.run_id, num_total=len(asked))
            review.answer(await self._pass_rates.ask(asked, lease, spec, turn=turn))
            turn += 1
        return screened, review.verdicts()

    async def _commit_review(self, event: CandidatesGenerated, name: str, cause: Cause) -> ArtifactRef:
        artifacts, lease = self._ports.artifacts, event.lease
        spec = await self._ports.runs.get(event.run_id)
        payload = await artifacts.read_bytes(event.candidates)
        candidates, fault = list[Candidate](), ""
        try:
            candidates = await asyncio.to_thread(_candidates_of, event, payload)
        except Rejected as error:
            fault = str(error)
        self._ports.activity.report(f"reviewing {lease.cell}", run_id=event.run_id, num_total=len(candidates))
        try:
            screened, verdicts = await self.judge(spec, event.iteration, lease, candidates)
        finally:
            self._ports.activity.report("")
        written = {
            SAMPLES_FILE: write_samples(accepted_samples(screened, verdicts, lease, event.iteration)),
            VERDICTS_FILE: write_verdicts(verdicts),
            FINGERPRINTS_FILE: write_marks(marks_of(screened, verdicts)),
        }
        files = {path: await artifacts.put_bytes(content) for path, content in written.items()}
        metadata = metadata_of(lease, event.generator, event.candidates, verdicts)
        return await artifacts.commit(name, files, cause=cause, metadata=metadata | ({_UNREADABLE: fault} if fault else {}))

    async def _seal(self, event: PlanClosed, cause: Cause) -> ArtifactRef:
        artifacts = self._ports.artifacts
        lease_ids = list(dict.fromkeys(event.lease_ids))
        names = [review_name(event.run_id, event.iteration, lease_id) for lease_id in lease_ids]
        leases = await in_parallel(lambda name: reviewed_lease(artifacts, name), names, limit=_NUM_PARALLEL)
        sealed = seal(leases)
        if not sealed.samples:
            raise Rejected(f"the plan of run {event.run_id}, iteration {event.iteration} has no accepted sample: there is nothing to seal")
        earlier = [await artifacts.find(dataset_name(event.run_id, before)) for before in range(1, event.iteration)]
        card = dataset_card(
            run_id=event.run_id,
            iteration=event.iteration,
            base_model_id=event.base_model.model_id,
            reason=event.reason,
            shortfalls=event.shortfalls,
            leases=leases,
            sealed=sealed,
        )
        files = {
            SAMPLES_FILE: await artifacts.put_bytes(await asyncio.to_thread(write_samples, sealed.samples)),
            CARD_FILE: await artifacts.put_bytes(card.encode()),
        }
        metadata = dataset_metadata(event, lease_ids, sealed, [ref for ref in earlier if ref is not None])
        return await artifacts.commit(dataset_name(event.run_id, event.iteration), files, cause=cause, metadata=metadata)


def _candidates_of(event: CandidatesGenerated, payload: bytes) -> list[Candidate]:
    lease = event.lease
    candidates = read_candidates(payload, f"candidates of lease {lease.lease_id} ({event.candidates.uri})")
    if len(candidates) != event.num_candidates:
        raise Rejected(f"lease {lease.lease_id}: {event.num_candidates} candidates are announced, {len(candidates)} stand in the store")
    if len(candidates) > lease.num_candidates:
        raise Rejected(f"lease {lease.lease_id}: it asks for at most {lease.num_candidates} candidates, {len(candidates)} were made")
    return candidates


class QualityServicer(quality_pb2_grpc.QualityServiceServicer):
    """What-if reviews, over gRPC."""

    def __init__(self, ports: Ports, quality: Quality) -> None:
        self._ports = ports
        self._quality = quality

    async def ReviewCandidates(  # noqa: N802
        self, request: quality_pb2.ReviewCandidatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> quality_pb2.ReviewCandidatesResponse:
        """Reviews candidates as for a lease; nothing is kept."""
        candidates = [from_wire(Candidate, candidate) for candidate in request.candidates]
        if not candidates:
            raise Rejected("the request holds no candidate")
        lease = from_wire(Lease, request.lease)
        try:
            spec = await self._ports.runs.get(request.run_id)
        except NotFound as error:
            raise Rejected(str(error)) from error
        _, verdicts = await self._quality.judge(spec, iteration_of(request.run_id, lease), lease, candidates)
        return quality_pb2.ReviewCandidatesResponse(verdicts=[to_wire(verdict) for verdict in verdicts])  # type: ignore[misc]


@asynccontextmanager
async def build(ports: Ports, settings: QualitySettings) -> AsyncIterator[Service]:
    """Quality, ready to run."""
    pass_rates = PassRates(ports.channel(Room.EVALUATOR), timeout_s=settings.pass_rate_timeout_s)
    quality = Quality(ports, KnownSamples(ports.artifacts), pass_rates, window_confidence=settings.window_confidence)
    yield Service(
        handlers={
            MixturePlanned: quality.on_mixture_planned,
            CandidatesGenerated: quality.on_candidates_generated,
            PlanClosed: quality.on_plan_closed,
        },
        servicers=(
            Servicer("spiral.v1.QualityService", quality_pb2_grpc.add_QualityServiceServicer_to_server, QualityServicer(ports, quality)),
        ),
        reconcile=quality.reconcile,
    )
