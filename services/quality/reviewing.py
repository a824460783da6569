"""One lease's review, from its candidates to the committed manifest."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.quality.acceptance_log import AcceptanceLog
from services.quality.checks import Known
from services.quality.contract import check_quality
from services.quality.evidence import Caps
from services.quality.firewall import Firewall
from services.quality.judges import Judges
from services.quality.known_samples import KnownSamples
from services.quality.pass_rates import PassRates
from services.quality.records import metadata_of, write_review
from services.quality.review import Judged, LeaseReview, Standards
from services.quality.run_index import Place, RunIndex
from services.quality.screening import Screened, compare_all, inspect_all
from services.quality.sources import shares_of
from services.quality.spending import merged
from shared.artifacts import Manifest
from shared.catalogue import Room
from shared.domain import ArtifactRef, Candidate, Lease, Verdict
from shared.errors import Rejected
from shared.events import CandidatesGenerated
from shared.in_parallel import in_parallel
from shared.ports import Cause
from shared.run_spec import RunSpec
from shared.service import Ports
from shared.tables import read_candidates

UNREADABLE = "unreadable"
"""In a review's manifest: why its candidates could not be read."""

_NUM_JUDGED_AT_ONCE = 64


@dataclass
class _Case:
    """A review under way, and how far it was compared with the log."""

    spec: RunSpec
    lease: Lease
    place: Place
    log: AcceptanceLog
    review: LeaseReview
    index: RunIndex
    num_compared: int
    num_turns: int = 0

    def withdraw(self, index: RunIndex) -> int:
        """Takes back what has been accepted elsewhere since the candidates were compared; says how many that were."""
        if index is self.index and len(index) == self.num_compared:
            return 0
        # A log that was lost is another index, in another order.
        news = index.before(self.place, since=self.num_compared if index is self.index else 0)
        return self.review.withdraw(Known(Firewall(), (news,) if news else ()), index.represented(self.place.iteration))


class Reviewing:
    """Gives candidates their verdicts, and enters what it accepts into the run's log."""

    def __init__(self, ports: Ports, known: KnownSamples, judges: Judges, pass_rates: PassRates, *, window_confidence: float) -> None:
        """Takes how sure the posterior must be that a pass rate lies outside the window."""
        self._ports = ports
        self._known = known
        self._judges = judges
        self._pass_rates = pass_rates
        self._window_confidence = window_confidence

    async def commit(self, event: CandidatesGenerated, name: str, cause: Cause) -> ArtifactRef:
        """Reviews a lease's candidates and commits the review, unless an entry of the log holds it already.

        Raises:
            Rejected: the run is unknown, or there are no candidates in the store.
            Retryable: the evaluator, a model's endpoint, the broker or the store is away; nothing is committed.
        """
        spec = await self._ports.runs.get(event.run_id)
        run_log = self._known.log(spec.run_id)
        await run_log.read()
        review = await run_log.find(name) or await self._review(spec, event, name, cause)
        ref = await self._ports.artifacts.commit(name, review.files, cause=review.cause, metadata=review.metadata)
        # A log that was lost, and begun anew by others before there was a manifest, does not know it yet.
        await run_log.read()
        return ref

    async def verdicts(self, spec: RunSpec, iteration: int, lease: Lease, candidates: Sequence[Candidate]) -> tuple[Verdict, ...]:
        """The verdicts that candidates would get for a lease now; nothing is kept but what models replied and what that cost."""
        return (await self._judge(spec, iteration, lease, candidates)).review.verdicts()

    async def _review(self, spec: RunSpec, event: CandidatesGenerated, name: str, cause: Cause) -> Manifest:
        payload = await self._ports.artifacts.read_bytes(event.candidates)
        candidates, fault = list[Candidate](), ""
        try:
            candidates = await asyncio.to_thread(_candidates_of, event, payload)
        except Rejected as error:
            fault = str(error)
        self._ports.activity.report(f"reviewing {event.lease.cell}", run_id=event.run_id, num_total=len(candidates))
        try:
            case = await self._judge(spec, event.iteration, event.lease, candidates)
            return await self._enter(case, event, name, cause, {UNREADABLE: fault} if fault else {})
        finally:
            self._ports.activity.report("")

    async def _judge(self, spec: RunSpec, iteration: int, lease: Lease, candidates: Sequence[Candidate]) -> _Case:
        quality, place, run_log = spec.quality, Place(iteration, lease.cell, lease.ordinal), self._known.log(spec.run_id)
        standards = Standards(check_quality(quality, self._window_confidence), quality.num_rollouts, shares_of(spec))
        caps, terms = Caps(quality.max_image_bytes, quality.max_image_pixels), self._judges.terms(quality)
        firewall, benchmarks = await self._known.walls(spec)
        inspected = await asyncio.to_thread(inspect_all, candidates, lease, caps, terms)
        await run_log.read()

        def compare(index: RunIndex) -> _Case:
            screened = compare_all(inspected, Known(firewall, (index.before(place),), benchmarks))
            review = LeaseReview(screened, lease, standards, index.represented(iteration))
            return _Case(spec, lease, place, run_log, review, index, len(index))

        case = await run_log.look(compare)
        await self._settle(case)
        return case

    async def _settle(self, case: _Case) -> None:
        """Judges and asks until every verdict stands."""
        review, lease, run_id = case.review, case.lease, case.spec.run_id

        async def judge(each: Screened) -> tuple[str, Judged]:
            return each.candidate.candidate_id, await self._judges.judge(each.candidate, case.spec)

        while True:
            if batch := review.to_judge():
                self._ports.activity.report(f"judging {lease.cell}", run_id=run_id, num_total=len(batch))
                review.judged(dict(await in_parallel(judge, batch, limit=_NUM_JUDGED_AT_ONCE)))
            elif asked := review.to_ask():
                self._ports.activity.report(f"asking the policy about {lease.cell}", run_id=run_id, num_total=len(asked))
                review.answer(await self._pass_rates.ask(asked, lease, case.spec, turn=case.num_turns))
                case.num_turns += 1
            else:
                return

    async def _enter(self, case: _Case, event: CandidatesGenerated, name: str, cause: Cause, told: dict[str, str]) -> Manifest:
        """The review as the log holds it: this one, or another of the same lease that was faster."""
        while True:
            num_read = await case.log.read()
            if (standing := await case.log.find(name)) is not None:
                return standing
            if await case.log.look(case.withdraw):
                await self._settle(case)
                continue
            verdicts = case.review.verdicts()
            written = await asyncio.to_thread(write_review, case.review, verdicts, case.lease, event.iteration)
            files = {path: await self._ports.artifacts.put_bytes(content) for path, content in written.items()}
            spent = merged([*event.spent, *case.review.spent])
            metadata = metadata_of(case.lease, event.generator, event.candidates, verdicts, spent) | told
            review = Manifest(name, Room.QUALITY.value, cause, files, metadata)
            if await case.log.append(review, after=num_read):
                return review


def _candidates_of(event: CandidatesGenerated, payload: bytes) -> list[Candidate]:
    lease = event.lease
    candidates = read_candidates(payload, f"candidates of lease {lease.lease_id} ({event.candidates.uri})")
    if len(candidates) != event.num_candidates:
        raise Rejected(f"lease {lease.lease_id}: {event.num_candidates} candidates are announced, {len(candidates)} stand in the store")
    if len(candidates) > lease.num_candidates:
        raise Rejected(f"lease {lease.lease_id}: it asks for at most {lease.num_candidates} candidates, {len(candidates)} were made")
    return candidates
