"""The runs that operators asked for: written once, read by every room, and marked when they are finished."""

from shared import wire
from shared.bus import Bus
from shared.errors import NotFound, Rejected
from shared.ports import Conflict
from shared.run_spec import RunSpec

RUNS = "spiral_runs"
FINISHED = "spiral_runs_finished"


class BusRuns:
    """`Runs` in two buckets: specifications, and the ids of those that have ended."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        # A specification never changes, so it is read once.
        self._known: dict[str, RunSpec] = {}

    async def create(self, spec: RunSpec) -> None:
        """Makes a run known. The same specification again is fine.

        Raises:
            Rejected: another run has that id.
        """
        bucket = await self._bus.bucket(RUNS)
        try:
            await bucket.create(spec.run_id, wire.encode(spec))
        except Conflict as error:
            if await self.get(spec.run_id) != spec:
                raise Rejected(f"run {spec.run_id} exists with another specification: choose another id") from error

    async def get(self, run_id: str) -> RunSpec:
        """A run's specification.

        Raises:
            NotFound: nobody asked for that run.
        """
        if (known := self._known.get(run_id)) is not None:
            return known
        entry = await (await self._bus.bucket(RUNS)).get(run_id)
        if entry is None:
            raise NotFound(f"run {run_id} is unknown: nobody created it, or its broker's data were removed")
        return self._known.setdefault(run_id, wire.decode(RunSpec, entry.value))

    async def all(self) -> list[RunSpec]:
        """Every run, oldest first."""
        specs = [await self.get(run_id) for run_id in await (await self._bus.bucket(RUNS)).keys()]
        return sorted(specs, key=lambda spec: spec.created_at_ns)

    async def unfinished(self) -> list[RunSpec]:
        """Runs without a `run.finished`, oldest first."""
        finished = set(await (await self._bus.bucket(FINISHED)).keys())
        return [spec for spec in await self.all() if spec.run_id not in finished]

    async def mark_finished(self, run_id: str) -> None:
        """Notes that a run has ended."""
        await (await self._bus.bucket(FINISHED)).put(run_id, b"")
