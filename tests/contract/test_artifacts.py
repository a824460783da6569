"""What a reference and a manifest promise, on both stores."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from shared.artifacts import Artifacts
from shared.domain import ArtifactRef
from shared.errors import DigestMismatch, NotFound, Rejected
from shared.ports import Cause
from shared.store import ObjectStore

CAUSE = Cause("c" * 64, 1_700_000_000_000_000_000)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def artifacts(store: ObjectStore, tmp_path: Path) -> Artifacts:
    return Artifacts(store, cache_dir=tmp_path / "cache", producer="trainer")


def a_checkpoint(directory: Path) -> Path:
    (directory / "deep").mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(b"weights" * 1000)
    (directory / "copy.safetensors").write_bytes(b"weights" * 1000)
    (directory / "deep" / "config.json").write_text("{}")
    (directory / ".gitattributes").write_text("")
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def test_equal_content_is_one_object(artifacts: Artifacts, store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"one")
    ref = await artifacts.put_bytes(b"one")
    assert await artifacts.put_file(tmp_path / "in") == ref
    assert await store.keys("") == [f"blobs/sha256/{ref.sha256[:2]}/{ref.sha256}"]
    assert await artifacts.read_bytes(ref) == b"one"
    assert (await artifacts.fetch_file(ref, tmp_path / "new" / "out")).read_bytes() == b"one"


async def test_one_corrupted_byte_is_refused_on_every_way_to_read(artifacts: Artifacts, store: ObjectStore, tmp_path: Path) -> None:
    payload = b"x" * 100_000
    ref = await artifacts.put_bytes(payload)
    manifest = await artifacts.commit("runs/r/0/evaluation", {"answers": ref}, cause=CAUSE)
    await store.put_bytes(ref.uri.removeprefix("spiral://"), payload[:50_000] + b"y" + payload[50_001:])
    with pytest.raises(DigestMismatch, match=ref.sha256):
        await artifacts.read_bytes(ref)
    with pytest.raises(DigestMismatch):
        await artifacts.fetch_file(ref, tmp_path / "out")
    with pytest.raises(DigestMismatch):
        await artifacts.fetch_directory(manifest)
    assert not (tmp_path / "out").exists()
    await store.put_bytes(ref.uri.removeprefix("spiral://"), payload)
    assert contents(await artifacts.fetch_directory(manifest)) == {"answers": payload}


async def test_what_was_never_stored_is_not_found(artifacts: Artifacts, store: ObjectStore, tmp_path: Path) -> None:
    ref = await artifacts.put_bytes(b"soon gone")
    await store.delete(ref.uri.removeprefix("spiral://"))
    with pytest.raises(NotFound):
        await artifacts.read_bytes(ref)
    with pytest.raises(NotFound):
        await artifacts.fetch_file(ref, tmp_path / "out")
    with pytest.raises(NotFound):
        await artifacts.commit("runs/r/0/dataset", {"train.parquet": ref}, cause=CAUSE)
    assert await artifacts.find("runs/r/0/dataset") is None
    with pytest.raises(NotFound):
        await artifacts.put_file(tmp_path / "no-such-file")
    with pytest.raises(NotFound):
        await artifacts.commit_directory("runs/r/0/checkpoint", tmp_path / "no-such-directory", cause=CAUSE)


async def test_a_directory_comes_back_as_it_was_with_its_metadata(artifacts: Artifacts, tmp_path: Path) -> None:
    directory = a_checkpoint(tmp_path / "checkpoint")
    metadata = {"num_steps": 3, "loss": 0.25, "cells": ["map/text"]}
    ref = await artifacts.commit_directory("runs/r/1/checkpoint", directory, cause=CAUSE, metadata=metadata)
    assert await artifacts.find("runs/r/1/checkpoint") == ref
    manifest = await artifacts.manifest(ref)
    assert (manifest.name, manifest.producer, manifest.cause, manifest.metadata) == ("runs/r/1/checkpoint", "trainer", CAUSE, metadata)
    fetched = await artifacts.fetch_directory(ref)
    assert contents(fetched) == contents(directory)
    assert await artifacts.fetch_directory(ref) == fetched


async def test_names_are_listed_by_prefix(artifacts: Artifacts) -> None:
    for name in ("runs/r/2/dataset", "runs/r/1/candidates/l2", "runs/r/1/candidates/l1", "runs/s/1/dataset"):
        await artifacts.commit(name, {}, cause=CAUSE)
    assert await artifacts.names("runs/r/1/candidates/") == ["runs/r/1/candidates/l1", "runs/r/1/candidates/l2"]
    assert await artifacts.names("runs/none/") == []


async def test_the_manifest_that_stands_first_wins(artifacts: Artifacts) -> None:
    first, second = await artifacts.put_bytes(b"first"), await artifacts.put_bytes(b"second")
    ref = await artifacts.commit("runs/r/1/dataset", {"f": first}, cause=CAUSE)
    assert await artifacts.commit("runs/r/1/dataset", {"f": second}, cause=CAUSE) == ref
    assert (await artifacts.manifest(ref)).files == {"f": first}


async def test_two_writers_of_one_manifest_agree(artifacts: Artifacts) -> None:
    blob = await artifacts.put_bytes(b"content")
    refs = await asyncio.gather(*(artifacts.commit("runs/r/1/dataset", {"f": blob}, cause=CAUSE) for _ in range(8)))
    assert set(refs) == {await artifacts.find("runs/r/1/dataset")}


async def test_processes_that_fetch_at_once_share_one_whole_copy(artifacts: Artifacts, store_url: str, tmp_path: Path) -> None:
    directory = a_checkpoint(tmp_path / "checkpoint")
    (directory / "large").write_bytes(b"l" * (20 << 20))
    ref = await artifacts.commit_directory("runs/r/1/checkpoint", directory, cause=CAUSE)
    command = [
        sys.executable,
        "-m",
        "tests.contract.artifact_child",
        store_url,
        str(tmp_path / "shared-cache"),
        ref.uri,
        ref.sha256,
        str(ref.num_bytes),
    ]
    children = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE) for _ in range(3)]
    paths = {(await child.communicate())[0].decode().strip() for child in children}
    assert [child.returncode for child in children] == [0, 0, 0]
    (path,) = paths
    assert contents(Path(path)) == contents(directory)
    assert [left.name for left in (tmp_path / "shared-cache").rglob(".staged-*")] == []


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", ""])
async def test_a_manifest_that_points_outside_is_refused(artifacts: Artifacts, store: ObjectStore, path: str) -> None:
    blob = await artifacts.put_bytes(b"x")
    with pytest.raises(Rejected):
        await artifacts.commit("runs/r/1/dataset", {path: blob}, cause=CAUSE)
    good = await artifacts.commit("runs/r/1/dataset", {"f": blob}, cause=CAUSE)
    document = json.loads(await artifacts.read_bytes(good))
    document["files"] = {path: document["files"]["f"]}
    forged = await artifacts.put_bytes(json.dumps(document).encode())
    with pytest.raises(Rejected):
        await artifacts.fetch_directory(forged)


@pytest.mark.parametrize("payload", [b"", b"not json", b"{}", b'{"schema": "spiral.manifest/2"}', b"\xff\xfe"])
async def test_what_is_no_manifest_is_refused_with_its_place(artifacts: Artifacts, payload: bytes) -> None:
    ref = await artifacts.put_bytes(payload)
    with pytest.raises(Rejected, match="is no manifest"):
        await artifacts.manifest(ref)


async def test_metadata_that_is_no_json_is_refused(artifacts: Artifacts) -> None:
    for value in (float("nan"), object(), b"bytes"):
        with pytest.raises(Rejected, match="metadata"):
            await artifacts.commit("runs/r/1/dataset", {}, cause=CAUSE, metadata={"value": value})


async def test_references_to_elsewhere_are_refused(artifacts: Artifacts) -> None:
    for uri in ("file:///etc/passwd", "spiral://../x", "https://example.org/x", "spiral:///etc/passwd"):
        with pytest.raises(Rejected):
            await artifacts.read_bytes(ArtifactRef(uri, "0" * 64, 1))
