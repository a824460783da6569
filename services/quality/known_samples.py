"""What a candidate may not repeat: probes, exam and benchmarks, and what the reviews of its run brought.

A lease is compared with what the log of its run holds: within a cell leases come one at a time, and across cells only copies of the same
question type count, so the same lease has the same verdicts whenever it is reviewed, unless two cells are given the same material.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

from services.quality.acceptance_log import BUCKET, AcceptanceLog
from services.quality.firewall import Firewall
from services.quality.firewalls import Firewalls
from shared.artifacts import Artifacts
from shared.ports import KeyValue
from shared.run_spec import RunSpec

_NUM_RUNS_KEPT = 4
"""Their indexes are shared by all reviews of this replica, and read again where one was dropped."""


class KnownSamples:
    """Firewalls and logs, as far as this replica has read them."""

    def __init__(self, artifacts: Artifacts, bucket: Callable[[str], Awaitable[KeyValue]]) -> None:
        """Takes the store, and how to open a bucket by name."""
        self._artifacts = artifacts
        self._bucket = bucket
        self._firewalls = Firewalls(artifacts)
        self._logs: OrderedDict[str, AcceptanceLog] = OrderedDict()

    async def walls(self, spec: RunSpec) -> tuple[Firewall, tuple[Firewall, ...]]:
        """The run's probes and exam, and every registered benchmark."""
        return await self._firewalls.of_run(spec), await self._firewalls.of_benchmarks()

    def log(self, run_id: str) -> AcceptanceLog:
        """The shared log of a run."""
        if run_id not in self._logs:
            self._logs[run_id] = AcceptanceLog(run_id, self._artifacts, partial(self._bucket, BUCKET))
        self._logs.move_to_end(run_id)
        while len(self._logs) > _NUM_RUNS_KEPT:
            self._logs.popitem(last=False)
        return self._logs[run_id]
