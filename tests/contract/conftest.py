import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.store import ObjectStore, open_store_url
from tests.contract.s3_endpoint import KEY, SECRET, free_port, serve_s3


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 bucket's URL: of SPIRAL_TEST_S3_URL where set, else of an rclone that this session runs."""
    given = os.environ.get("SPIRAL_TEST_S3_URL")
    if given:
        yield given
        return
    root = tmp_path_factory.mktemp("s3") / "data"
    (root / "spiral").mkdir(parents=True)
    port = free_port()
    with serve_s3(root, port):
        yield f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/spiral"


@pytest.fixture(params=["directory", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty store."""
    if request.param == "directory":
        return f"file://{tmp_path}/store"
    base: str = request.getfixturevalue("s3_url")
    return f"{base}/{uuid.uuid4().hex}"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[ObjectStore]:
    async with open_store_url(store_url) as opened:
        yield opened
