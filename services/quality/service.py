"""Quality's handlers, its gRPC service and what it says again after a crash."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from spiral.v1 import quality_pb2_grpc

from services.quality.content_screen import ContentScreen, PersonalDataScreen
from services.quality.contract import check_lease_id, check_quality
from services.quality.dataset_card import dataset_card
from services.quality.datasets import CARD_FILE, dataset_announcement, dataset_metadata, reviewed_lease
from services.quality.judges import Judges
from services.quality.known_samples import KnownSamples
from services.quality.pass_rates import PassRates
from services.quality.records import SAMPLES_FILE, announcement, review_name
from services.quality.reviewing import UNREADABLE, Reviewing
from services.quality.screen_service import open_screen_service
from services.quality.sealing import dataset_name, seal
from services.quality.servicer import QualityServicer
from services.quality.settings import QualitySettings
from shared.catalogue import Room
from shared.domain import ArtifactRef
from shared.errors import Rejected
from shared.events import CandidatesGenerated, Event, MixturePlanned, PlanClosed
from shared.in_parallel import in_parallel
from shared.llm.models_file import read_models_file
from shared.llm.opening import open_models
from shared.llm.port import LanguageModels
from shared.ports import Cause, Delivery
from shared.run_spec import RunSpec, SpendingSpec
from shared.service import Ports, Service, Servicer
from shared.tables import write_samples
from shared.telemetry import log

_NUM_PARALLEL = 8


class Quality:
    """Reviews candidates and seals datasets."""

    def __init__(self, ports: Ports, known: KnownSamples, reviewing: Reviewing) -> None:
        self._ports = ports
        self._known = known
        self._reviewing = reviewing

    async def on_mixture_planned(self, event: MixturePlanned, delivery: Delivery) -> Sequence[Event]:
        """Reads the run's probes and exam, and the registered benchmarks, ahead of the first lease.

        Raises:
            Rejected: the run is unknown, its quality settings are impossible, or its probes can't be read.
        """
        spec = await self._ports.runs.get(event.run_id)
        check_quality(spec.quality)
        self._ports.activity.report("fingerprinting probes and benchmarks", run_id=event.run_id)
        try:
            await self._known.walls(spec)
        finally:
            self._ports.activity.report("")
        return ()

    async def on_candidates_generated(self, event: CandidatesGenerated, delivery: Delivery) -> AsyncGenerator[Event, None]:
        """Gives every candidate of a lease its verdict and commits the review, unless it stands already.

        Where two kinds answered one lease, the first answer counts. Candidates that can't be read never will be: their lease gets a review
        without a verdict, so that the plan goes on, and then the event is refused.

        Raises:
            Rejected: the run is unknown, or the candidates can't be read.
            Retryable: the evaluator, a model's endpoint, the broker or the store is away; nothing is committed.
        """
        artifacts = self._ports.artifacts
        check_lease_id(event.run_id, event.iteration, event.lease)
        name = review_name(event.run_id, event.iteration, event.lease.lease_id)
        standing = await artifacts.find(name)
        if standing is None:
            standing = await self._reviewing.commit(event, name, delivery.cause)
        review = await artifacts.manifest(standing)
        if review.cause.event_id != delivery.cause.event_id:
            # Another answer to the lease was reviewed. Announced under a second cause, its review would be new to everybody.
            return
        yield await announcement(artifacts, standing)
        if fault := review.metadata.get(UNREADABLE):
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


@asynccontextmanager
async def build(ports: Ports, settings: QualitySettings) -> AsyncIterator[Service]:
    """Quality, ready to run."""
    pass_rates = PassRates(ports.channel(Room.EVALUATOR), timeout_s=settings.pass_rate_timeout_s)
    known = KnownSamples(ports.artifacts, ports.bucket)
    async with AsyncExitStack() as stack:
        judges = Judges(await _models(stack, ports, settings), await _screens(stack, settings))
        reviewing = Reviewing(ports, known, judges, pass_rates, window_confidence=settings.window_confidence)
        quality = Quality(ports, known, reviewing)
        yield Service(
            handlers={
                MixturePlanned: quality.on_mixture_planned,
                CandidatesGenerated: quality.on_candidates_generated,
                PlanClosed: quality.on_plan_closed,
            },
            servicers=(
                Servicer(
                    "spiral.v1.QualityService", quality_pb2_grpc.add_QualityServiceServicer_to_server, QualityServicer(ports, reviewing)
                ),
            ),
            reconcile=quality.reconcile,
        )


async def _models(stack: AsyncExitStack, ports: Ports, settings: QualitySettings) -> LanguageModels | None:
    if settings.models_file is None:
        log.info("no language models are configured: candidates whose answer no scene proves are refused as unverifiable")
        return None

    async def limits(run_id: str) -> SpendingSpec:
        return (await ports.runs.get(run_id)).spending

    config = read_models_file(settings.models_file)
    return await stack.enter_async_context(open_models(config, bucket=ports.bucket, artifacts=ports.artifacts, limits=limits))


async def _screens(stack: AsyncExitStack, settings: QualitySettings) -> tuple[ContentScreen, ...]:
    if not settings.content_screen_url:
        return (PersonalDataScreen(),)
    hook = open_screen_service(settings.content_screen_url, timeout_s=settings.content_screen_timeout_s)
    return PersonalDataScreen(), await stack.enter_async_context(hook)
