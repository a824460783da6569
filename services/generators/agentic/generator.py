"""The handler of leases: what stands is announced again, the rest is made, committed with its failures and its cost, and announced."""

import asyncio
import time
from collections.abc import Callable, Sequence

from services.generators.agentic.assignment import assignments_of
from services.generators.agentic.crafting import Batch, Failure
from services.generators.agentic.equipment import Equipment
from services.generators.agentic.provenance import KIND
from services.generators.agentic.recess import OPERATORS_REASONS, Recess
from services.generators.agentic.request import check_request
from services.generators.agentic.unit_cost import UnitCost
from services.generators.agentic.workshop import craft_list, rules_of
from services.generators.candidate_identity import candidates_name
from services.generators.lease_record import announcement, check_kind, commit_candidates, standing_announcements
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, GeneratorIdentity, Spend
from shared.errors import Retryable
from shared.events import CandidatesGenerated, Event, GenerationRequested
from shared.ports import Activity, Cause, Delivery, Runs
from shared.run_spec import RunSpec
from shared.tables import write_candidates
from shared.telemetry import log


class AgenticGenerator:
    """Has agents make what leases ask for."""

    def __init__(
        self,
        equipment: Equipment | str,
        artifacts: Artifacts,
        *,
        runs: Runs,
        activity: Activity,
        identity: GeneratorIdentity,
        max_lease_size: int,
        unit_cost: UnitCost,
        measured: Callable[[], None] = lambda: None,
    ) -> None:
        """Describes a generator.

        Args:
            equipment: what the agents work with, or what is lacking for good, in words.
            artifacts: where candidates are committed.
            runs: where a run's rules stand.
            activity: told of the leases in hand.
            identity: who announces.
            max_lease_size: of a larger lease so many candidates are made.
            unit_cost: what a candidate takes; counted here.
            measured: called when it has changed.
        """
        self._equipment = equipment
        self._artifacts = artifacts
        self._runs = runs
        self._activity = activity
        self._identity = identity
        self._max_lease_size = max_lease_size
        self._unit_cost = unit_cost
        self._measured = measured
        self._recess = Recess()
        self._spent_runs: dict[str, str] = {}
        self._paid: dict[str, list[Spend]] = {}
        """What attempts paid that ended with the lease handed back, by lease."""
        self.num_open_leases = 0

    async def on_generation_requested(self, event: GenerationRequested, delivery: Delivery) -> Sequence[Event]:
        """Makes a lease's candidates and commits them, unless they stand already.

        Raises:
            Rejected: the run is unknown, or the lease asks for what this generator does not make.
            Retryable: an endpoint, the store or the broker is away, or there are no images yet.
        """
        lease, artifacts = event.lease, self._artifacts
        check_kind(lease, KIND)
        spec = await self._runs.get(event.run_id)
        standing = await artifacts.find(candidates_name(event.run_id, event.iteration, lease.lease_id))
        if standing is None:
            self.num_open_leases += 1
            self._say(event.run_id)
            try:
                standing = await self._make(event, spec, delivery.cause)
            finally:
                self.num_open_leases -= 1
                self._say(event.run_id)
        self._paid.pop(lease.lease_id, None)
        return [await announcement(artifacts, standing)]

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """Every lease of a run whose candidates a generator of this kind committed, with its announcement."""
        return await standing_announcements(self._artifacts, spec, KIND)

    @property
    def lacking(self) -> str:
        """Why it takes no leases at the moment, in words; empty where it does."""
        return self._equipment if isinstance(self._equipment, str) else self._equipment.lacks() or self._recess.reason

    async def _make(self, event: GenerationRequested, spec: RunSpec, cause: Cause) -> ArtifactRef:
        lease, equipment, artifacts = event.lease, self._equipment, self._artifacts
        check_request(lease.num_candidates, lease.difficulty, lease.image_size_px)
        if isinstance(equipment, str) or self.lacking:
            raise Retryable(self.lacking)
        assignments = assignments_of(event.run_id, event.iteration, lease, at_most=self._max_lease_size)
        started = time.monotonic()
        paid = self._paid.setdefault(lease.lease_id, [])
        batch = await craft_list(equipment, assignments, rules_of(spec.quality, len(assignments)), paid)
        self._account(event, batch, time.monotonic() - started)
        candidates = [crafted.candidate for crafted in batch.crafted]
        generated = CandidatesGenerated(
            run_id=event.run_id,
            iteration=event.iteration,
            lease=lease,
            candidates=await artifacts.put_bytes(await asyncio.to_thread(write_candidates, candidates)),
            num_candidates=len(candidates),
            generator=self._identity,
            spent=batch.spent,
        )
        sources = {path: ref for crafted in batch.crafted for path, ref in crafted.sources.items()}
        metadata = {"num_asked": lease.num_candidates, "failures": [_told(failure) for failure in batch.failures]}
        return await commit_candidates(artifacts, generated, cause=cause, sources=sources, metadata=metadata)

    def _account(self, event: GenerationRequested, batch: Batch, seconds: float) -> None:
        """What came of a lease, for the log, the activity and the registry."""
        lease = event.lease
        log.info(
            "lease made",
            lease_id=lease.lease_id,
            cell=str(lease.cell),
            num_asked=lease.num_candidates,
            num_made=len(batch.crafted),
            failures={f"{failure.role}: {failure.reason}": failure.count for failure in batch.failures},
            seconds=round(seconds, 1),
            cost_usd=round(sum(spend.cost_usd for spend in batch.spent), 6),
        )
        for failure in batch.failures:
            if failure.reason in OPERATORS_REASONS:
                log.warning("refused what agents need", role=failure.role, reason=failure.detail)
        self._recess.note(batch)
        spent = next((failure.detail for failure in batch.failures if failure.is_budget_spent), "")
        if spent and event.run_id not in self._spent_runs:
            log.warning("the run's budget for language models is spent: its leases are answered with what there is", reason=spent)
            self._spent_runs[event.run_id] = spent
        if not spent:
            self._unit_cost.add(seconds, len(batch.crafted))
            self._measured()

    def _say(self, run_id: str) -> None:
        if self.num_open_leases:
            self._activity.report(f"agents at work on {self.num_open_leases} leases", run_id=run_id)
        else:
            self._activity.report(self.lacking or self._spent_runs.get(run_id, ""))


def _told(failure: Failure) -> dict[str, str | int]:
    return {"role": failure.role, "reason": failure.reason, "count": failure.count, "detail": failure.detail}
