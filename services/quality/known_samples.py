"""What a candidate may not repeat: probes and exam, earlier leases of its cell, and the datasets of earlier iterations.

Everything is read from what stands in the store and chosen by ids, never by who came first, so a review has the same verdicts whenever
it is done. Indexes that many reviews share are kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from services.quality.checks import Known
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint, fingerprint
from services.quality.records import FINGERPRINTS_FILE, Mark, read_marks, review_name
from services.quality.sealing import dataset_name
from shared.artifacts import Artifacts
from shared.domain import ArtifactRef, Lease
from shared.errors import NotFound
from shared.images.decoding import ImageRefused, decode_image
from shared.in_parallel import in_parallel
from shared.run_spec import RunSpec
from shared.tables import Probe, read_probes
from shared.telemetry import log

MAX_PROBE_BYTES = 64_000_000
MAX_PROBE_PIXELS = 64_000_000
"""Probes are the operator's own; they may be larger than candidates."""

_NUM_KEPT = 4
"""Of two runs the firewall and what earlier iterations brought; an index takes about 7 kB a sample."""
_NUM_PARALLEL = 8


class KnownSamples:
    """Fingerprints from the store, as indexes."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._kept: OrderedDict[tuple[str, ...], FingerprintIndex] = OrderedDict()
        self._lock = asyncio.Lock()

    async def known(self, spec: RunSpec, iteration: int, lease: Lease) -> Known:
        """What a lease's candidates may not repeat."""
        firewall = await self.firewall(spec)
        history = await self._history(spec.run_id, iteration)
        return Known(firewall, (history, await self._earlier_leases(spec.run_id, iteration, lease)))

    async def firewall(self, spec: RunSpec) -> FingerprintIndex:
        """The run's probes and exam. This is the one place that opens the exam, and nothing of it is told on."""
        return await self._keep(("firewall", spec.probes.sha256, spec.exam.sha256), lambda: self._load_firewall(spec))

    async def _load_firewall(self, spec: RunSpec) -> FingerprintIndex:
        index = FingerprintIndex()
        num_refused = 0
        for ref, what in ((spec.probes, "probes"), (spec.exam, "exam")):
            payload = await self._artifacts.read_bytes(ref)
            entries, refused = await asyncio.to_thread(_probe_entries, payload, f"{what} of run {spec.run_id} ({ref.uri})", what == "exam")
            num_refused += refused
            for name, mark in entries:
                index.add(name, mark)
        if num_refused:
            log.warning("probes without a readable image stand outside the firewall", run_id=spec.run_id, num_probes=num_refused)
        return index

    async def _history(self, run_id: str, iteration: int) -> FingerprintIndex:
        """Samples of the datasets of earlier iterations."""
        datasets = [ref for earlier in range(1, iteration) if (ref := await self._artifacts.find(dataset_name(run_id, earlier)))]
        key = ("history", *(ref.sha256 for ref in datasets))
        return await self._keep(key, lambda: self._load_history(run_id, datasets))

    async def _load_history(self, run_id: str, datasets: Iterable[ArtifactRef]) -> FingerprintIndex:
        names = []
        for ref in datasets:
            manifest = await self._artifacts.manifest(ref)
            iteration = int(manifest.name.split("/")[2])
            names += [review_name(run_id, iteration, lease_id) for lease_id in manifest.metadata["lease_ids"]]
        return FingerprintIndex((mark.candidate_id, mark.fingerprint) for mark in await self._marks(names) if mark.accepted)

    async def _earlier_leases(self, run_id: str, iteration: int, lease: Lease) -> FingerprintIndex:
        """What earlier leases of the cell brought in this iteration."""
        prefix = review_name(run_id, iteration, lease.lease_id.rpartition(".")[0] + ".")
        names = await self._artifacts.names(prefix)
        earlier = sorted((int(tail), name) for name in names if (tail := name.removeprefix(prefix)).isdecimal())
        marks = await self._marks([name for ordinal, name in earlier if ordinal < lease.ordinal])
        return FingerprintIndex((mark.candidate_id, mark.fingerprint) for mark in marks)

    async def _marks(self, names: list[str]) -> list[Mark]:
        async def load(name: str) -> list[Mark]:
            ref = await self._artifacts.find(name)
            if ref is None:
                raise NotFound(f"the review {name} does not stand in the store")
            files = (await self._artifacts.manifest(ref)).files
            return read_marks(await self._artifacts.read_bytes(files[FINGERPRINTS_FILE]))

        return [mark for marks in await in_parallel(load, names, limit=_NUM_PARALLEL) for mark in marks]

    async def _keep(self, key: tuple[str, ...], load: Callable[[], Awaitable[FingerprintIndex]]) -> FingerprintIndex:
        async with self._lock:
            if key not in self._kept:
                self._kept[key] = await load()
            self._kept.move_to_end(key)
            while len(self._kept) > _NUM_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def _probe_entries(payload: bytes, source: str, is_exam: bool) -> tuple[list[tuple[str, Fingerprint]], int]:
    """Named fingerprints of probes, and how many have no readable image."""
    entries, num_refused = [], 0
    for probe in read_probes(payload, source):
        try:
            entries.append(("an exam item" if is_exam else f"probe {probe.probe_id}", _fingerprint_of(probe)))
        except ImageRefused:
            num_refused += 1
    return entries, num_refused


def _fingerprint_of(probe: Probe) -> Fingerprint:
    image = decode_image(probe.image, max_bytes=MAX_PROBE_BYTES, max_pixels=MAX_PROBE_PIXELS)
    return fingerprint(image, probe.question, probe.cell.question_type, probe.choices, probe.answer)
