"""Registering benchmarks in the object store: parts by content, and a manifest that makes them a fact once all stand."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.cli.benchmark_file import BenchmarkFile
from shared.artifacts import Artifacts
from shared.benchmarks import PREFIX, BenchmarkItem, benchmark_name, part_path, write_items
from shared.domain import ArtifactRef
from shared.errors import NotFound, Rejected
from shared.ports import Cause

_MAX_PART_ITEMS = 256
_MAX_PART_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A registered benchmark."""

    name: str
    num_items: int
    num_images: int
    num_questions: int
    source: str
    """The file's name when it was added."""
    num_bytes: int
    digest: str
    """Hex sha256 of its manifest."""


async def add_benchmark(artifacts: Artifacts, name: str, path: Path, told: Callable[[int], None]) -> tuple[Benchmark, bool]:
    """Registers a file under a name, and says whether it was new.

    Stopped and called again it goes on: parts that stand are not stored again, and without the manifest nothing counts.

    Args:
        artifacts: the store.
        name: lower-case letters, digits and hyphens.
        path: Parquet or JSONL.
        told: told how many items stand so far.

    Raises:
        Rejected: rows are at fault, or another content is registered under the name.
    """
    file = BenchmarkFile(path)
    items = iter(file)
    files: dict[str, ArtifactRef] = {}
    counts = {"num_items": 0, "num_images": 0, "num_questions": 0}
    while part := await asyncio.to_thread(_next_part, items):
        files[part_path(len(files))] = await artifacts.put_bytes(await asyncio.to_thread(write_items, part))
        counts["num_items"] += len(part)
        counts["num_images"] += sum(bool(item.image) for item in part)
        counts["num_questions"] += sum(bool(item.question.strip()) for item in part)
        told(counts["num_items"])
    file.check()
    if not files:
        raise Rejected(f"{path} holds no item")
    digest = hashlib.sha256("\n".join(ref.sha256 for ref in files.values()).encode()).hexdigest()
    is_new = await artifacts.find(benchmark_name(name)) is None
    cause = Cause(hashlib.sha256(f"benchmark/{name}/{digest}".encode()).hexdigest(), 0)
    ref = await artifacts.commit(benchmark_name(name), files, cause=cause, metadata=counts | {"source": path.name})
    if dict((await artifacts.manifest(ref)).files) != files:
        raise Rejected(f"benchmark {name} is registered with another content: `spiral benchmark remove {name}` first, or take another name")
    return await _benchmark(artifacts, name, ref), is_new


async def benchmarks(artifacts: Artifacts) -> list[Benchmark]:
    """Every registered benchmark, by name."""
    found = []
    for name in await artifacts.names(PREFIX):
        if (ref := await artifacts.find(name)) is not None:
            found.append(await _benchmark(artifacts, name.removeprefix(PREFIX), ref))
    return found


async def remove_benchmark(artifacts: Artifacts, name: str) -> None:
    """Takes a benchmark out of the registry; what was accepted beside it stays as it is.

    Raises:
        NotFound: none of that name is registered.
    """
    if not await artifacts.forget(benchmark_name(name)):
        raise NotFound(f"no benchmark {name} is registered: `spiral benchmark list` shows those that are")


async def _benchmark(artifacts: Artifacts, name: str, ref: ArtifactRef) -> Benchmark:
    manifest = await artifacts.manifest(ref)
    told = manifest.metadata
    return Benchmark(
        name=name,
        num_items=told["num_items"],
        num_images=told["num_images"],
        num_questions=told["num_questions"],
        source=told["source"],
        num_bytes=sum(each.num_bytes for each in manifest.files.values()),
        digest=ref.sha256,
    )


def _next_part(items: Iterator[BenchmarkItem]) -> list[BenchmarkItem]:
    part, num_bytes = list[BenchmarkItem](), 0
    for item in items:
        part.append(item)
        num_bytes += len(item.image)
        if len(part) == _MAX_PART_ITEMS or num_bytes >= _MAX_PART_BYTES:
            break
    return part
