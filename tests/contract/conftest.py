import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from minio import Minio
from minio.error import MinioException

from shared.store import ObjectStore, open_store_url
from shared.store_s3 import Location
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
async def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A fresh, empty store, of which nothing is left afterwards."""
    if request.param == "directory":
        yield f"file://{tmp_path}/store"
        return
    parts = urlsplit(request.getfixturevalue("s3_url"))
    url = parts._replace(path=f"{parts.path.rstrip('/')}/spiral-test-{uuid.uuid4().hex}").geturl()
    yield url
    async with open_store_url(url) as opened:
        for key in await opened.keys(""):
            await opened.delete(key)
    await asyncio.to_thread(abort_uploads, url)


def abort_uploads(url: str) -> None:
    """Gives up what killed writers left half uploaded, which S3 would keep for good."""
    at = Location.parse(url)
    client = Minio(at.endpoint, secure=at.is_secure, region=at.region, credentials=at.provider)
    # rclone knows no list of uploads, and refuses.
    with suppress(MinioException):
        for upload in client._list_multipart_uploads(at.bucket, prefix=at.prefix).uploads:
            client._abort_multipart_upload(at.bucket, upload.object_name, upload.upload_id)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[ObjectStore]:
    async with open_store_url(store_url) as opened:
        yield opened
