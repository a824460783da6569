"""Firewalls from the store: a run's probes and exam, and every registered benchmark; each is made once, since that takes a while."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from services.quality.fingerprints import fingerprint
from services.quality.firewall import Firewall, FirewallItem
from services.quality.own_images import read_own_image
from shared.artifacts import Artifacts
from shared.benchmarks import PREFIX, read_items
from shared.domain import ArtifactRef, QuestionType
from shared.images.decoding import DecodedImage
from shared.in_parallel import in_parallel
from shared.run_spec import RunSpec
from shared.tables import Probe, read_probes
from shared.telemetry import log

_NUM_RUNS_KEPT = 4
_NUM_PARALLEL = 8


class Firewalls:
    """Firewalls over what stands in the store."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._runs: OrderedDict[tuple[str, str], Firewall] = OrderedDict()
        self._benchmarks: dict[str, Firewall] = {}
        self._lock = asyncio.Lock()

    async def of_run(self, spec: RunSpec) -> Firewall:
        """The run's probes and exam. This is the one place that opens the exam, and nothing of it is told on."""
        key = (spec.probes.sha256, spec.exam.sha256)
        async with self._lock:
            if key not in self._runs:
                self._runs[key] = await self._load_run(spec)
            self._runs.move_to_end(key)
            while len(self._runs) > _NUM_RUNS_KEPT:
                self._runs.popitem(last=False)
            return self._runs[key]

    async def of_benchmarks(self) -> tuple[Firewall, ...]:
        """Every benchmark that is registered now, in the order of their names."""
        names = await self._artifacts.names(PREFIX)
        refs = await in_parallel(self._artifacts.find, names, limit=_NUM_PARALLEL)
        standing = {ref.sha256: (name.removeprefix(PREFIX), ref) for name, ref in zip(names, refs, strict=True) if ref}
        async with self._lock:
            for digest, (name, ref) in standing.items():
                if digest not in self._benchmarks:
                    self._benchmarks[digest] = await self._load_benchmark(name, ref)
            self._benchmarks = {digest: self._benchmarks[digest] for digest in standing}
            return tuple(self._benchmarks.values())

    async def _load_run(self, spec: RunSpec) -> Firewall:
        probes = await self._artifacts.read_bytes(spec.probes)
        exam = await self._artifacts.read_bytes(spec.exam)
        named = ((probes, f"probes of run {spec.run_id} ({spec.probes.uri})"), (exam, f"exam of run {spec.run_id} ({spec.exam.uri})"))
        items, num_refused = await asyncio.to_thread(_probe_items, named)
        if num_refused:
            log.warning("probes without a readable image are known by their text alone", run_id=spec.run_id, num_probes=num_refused)
        return await asyncio.to_thread(Firewall, items)

    async def _load_benchmark(self, name: str, ref: ArtifactRef) -> Firewall:
        files = (await self._artifacts.manifest(ref)).files
        items = list[FirewallItem]()
        num_refused = 0
        for path in sorted(files):
            payload = await self._artifacts.read_bytes(files[path])
            found, refused = await asyncio.to_thread(_benchmark_items, payload, name)
            items += found
            num_refused += refused
        if num_refused:
            log.warning(
                "items of a benchmark without a readable image are known by their text alone", benchmark=name, num_items=num_refused
            )
        return await asyncio.to_thread(Firewall, items)


def _probe_items(named: Sequence[tuple[bytes, str]]) -> tuple[list[FirewallItem], int]:
    """Items of probes and exam, and how many have no readable image."""
    items, num_refused = list[FirewallItem](), 0
    for payload, source in named:
        for probe in read_probes(payload, source):
            image = read_own_image(probe.image)
            num_refused += image is None
            items.append(_probe_item(probe, image, is_exam=source.startswith("exam")))
    return items, num_refused


def _probe_item(probe: Probe, image: DecodedImage | None, *, is_exam: bool) -> FirewallItem:
    mark = fingerprint(image, probe.question, probe.cell.question_type, probe.choices, probe.answer)
    return FirewallItem("an exam item" if is_exam else f"probe {probe.probe_id}", mark)


def _benchmark_items(payload: bytes, benchmark: str) -> tuple[list[FirewallItem], int]:
    """Items of one part, and how many have an image that can't be read."""
    items, num_refused = list[FirewallItem](), 0
    for item in read_items(payload, f"benchmark {benchmark}"):
        image = read_own_image(item.image) if item.image else None
        num_refused += bool(item.image) and image is None
        if image is not None or item.question:
            question_type = QuestionType.MULTIPLE_CHOICE if item.choices else None
            mark = fingerprint(image, item.question, question_type, item.choices, item.answer)
            items.append(FirewallItem(f"item {item.item_id} of benchmark {benchmark}", mark))
    return items, num_refused
