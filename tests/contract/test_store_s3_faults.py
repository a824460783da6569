"""S3 over a network that fails: what may pass passes by itself, what does not is an error that may be tried again."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.errors import Retryable
from shared.store import ObjectStore, open_store_url
from shared.store_s3 import PART_BYTES
from tests.contract.faulty_network import FaultyNetwork, faulty_network

PAYLOAD = os.urandom(3 * PART_BYTES + 5)
DIGEST = hashlib.sha256(PAYLOAD).hexdigest()


@pytest.fixture
async def network(s3_url: str) -> AsyncIterator[FaultyNetwork]:
    parts = urlsplit(s3_url)
    assert parts.hostname
    if parts.scheme == "s3+https":
        pytest.skip("the faulty network can't forward TLS under another name")
    async with faulty_network(parts.hostname, parts.port or 80) as opened:
        yield opened


@pytest.fixture
async def store(s3_url: str, network: FaultyNetwork) -> AsyncIterator[ObjectStore]:
    parts = urlsplit(s3_url)
    through = parts._replace(
        netloc=f"{parts.username}:{parts.password}@127.0.0.1:{network.port}", path=f"{parts.path}/spiral-test-{uuid.uuid4().hex}"
    )
    async with open_store_url(through.geturl()) as opened:
        yield opened
        network.num_to_cut = 0
        for key in await opened.keys(""):
            await opened.delete(key)


async def test_parts_of_a_large_file_go_at_the_same_time(store: ObjectStore, network: FaultyNetwork, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(PAYLOAD)
    network.num_to_gather = 3
    await asyncio.wait_for(store.put_file("k", tmp_path / "in", sha256=DIGEST), 30)
    assert await store.get_bytes("k") == PAYLOAD


async def test_a_download_that_is_cut_is_begun_again(store: ObjectStore, network: FaultyNetwork, tmp_path: Path) -> None:
    await store.put_bytes("k", PAYLOAD)
    network.num_to_cut, network.cut_after_bytes = 2, PART_BYTES
    await store.get_file("k", tmp_path / "out", sha256=DIGEST)
    assert network.num_to_cut == 0
    assert (tmp_path / "out").read_bytes() == PAYLOAD
    network.num_to_cut = 2
    assert await store.get_bytes("k") == PAYLOAD


async def test_a_download_that_is_cut_again_and_again_may_be_tried_later(
    store: ObjectStore, network: FaultyNetwork, tmp_path: Path
) -> None:
    await store.put_bytes("k", PAYLOAD)
    network.num_to_cut, network.cut_after_bytes = 1000, PART_BYTES
    with pytest.raises(Retryable, match="no answer"):
        await store.get_file("k", tmp_path / "out", sha256=DIGEST)
    assert os.listdir(tmp_path) == []
    network.num_to_cut = 0
    await store.get_file("k", tmp_path / "out", sha256=DIGEST)


async def test_an_upload_whose_answers_are_lost_is_stored_once_and_whole(
    store: ObjectStore, network: FaultyNetwork, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(PAYLOAD)
    network.num_to_cut, network.cut_after_bytes = 3, 0
    await store.put_file("k", tmp_path / "in", sha256=DIGEST)
    assert network.num_to_cut == 0
    assert await store.keys("") == ["k"]
    assert await store.get_bytes("k") == PAYLOAD
    network.num_to_cut = 1
    await store.create("manifest", b"first")
    assert await store.get_bytes("manifest") == b"first"
