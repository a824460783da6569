"""The object store on S3 (MinIO, AWS, Ceph, SeaweedFS, rclone and the like), with the plain calls that all of them know: HeadBucket,
CreateBucket, PutObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload, GetObject, HeadObject,
ListObjectsV2 and DeleteObject, with path-style addresses and version 4 signatures.

An upload killed half-way leaves no visible object, but S3 keeps its parts until they are aborted: give the bucket a life-cycle rule that
aborts incomplete multipart uploads after a day.
"""

import asyncio
import hashlib
import math
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import certifi
import tenacity
import urllib3
from minio import Minio
from minio.credentials.providers import AWSConfigProvider, ChainedProvider, EnvAWSProvider, EnvMinioProvider, Provider, StaticProvider
from minio.error import MinioException

from shared.durable_files import CHUNK_BYTES, place, stage
from shared.errors import BadConfiguration, DigestMismatch, NotFound, Rejected
from shared.object_keys import check_key
from shared.store_s3_errors import Unavailable, error_of, error_of_answer

PART_BYTES = 8 << 20
_MAX_PARTS = 9_000
_NUM_PARALLEL_PARTS = 4
_NUM_ATTEMPTS = 5

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

T = TypeVar("T")


@dataclass(frozen=True)
class Location:
    """What an S3 URL says."""

    endpoint: str
    bucket: str
    prefix: str
    region: str
    is_secure: bool
    provider: Provider

    @staticmethod
    def parse(url: str) -> "Location":
        """Reads `s3://[KEY:SECRET@]host[:port]/bucket[/prefix][?region=...]`.

        Raises:
            BadConfiguration: it reads otherwise, or no credentials are to be had. The text never shows the secret.
        """
        parts = urlsplit(url)
        bucket, _, prefix = parts.path.strip("/").partition("/")
        try:
            port = parts.port
        except ValueError as error:
            raise BadConfiguration("SPIRAL_STORE_URL has no valid port: write s3://KEY:SECRET@host:port/bucket") from error
        if bucket and not _BUCKET.fullmatch(bucket):
            raise BadConfiguration(f"SPIRAL_STORE_URL: {bucket!r} is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens")
        if not parts.hostname or not bucket:
            raise BadConfiguration("SPIRAL_STORE_URL must name a host and a bucket: write s3://KEY:SECRET@host:port/bucket")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        provider: Provider
        if parts.username and parts.password:
            provider = StaticProvider(unquote(parts.username), unquote(parts.password))
        else:
            provider = ChainedProvider([EnvAWSProvider(), EnvMinioProvider(), AWSConfigProvider()])
        try:
            provider.retrieve()
        except ValueError as error:
            raise BadConfiguration(
                "no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or write SPIRAL_STORE_URL as s3://KEY:SECRET@host:port/bucket"
            ) from error
        return Location(
            endpoint=host + (f":{port}" if port else ""),
            bucket=bucket,
            prefix=f"{prefix}/" if prefix else "",
            region=parse_qs(parts.query).get("region", ["us-east-1"])[0],
            is_secure=parts.scheme == "s3+https",
            provider=provider,
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a bucket lists it. The etag changes with the content."""

    key: str
    num_bytes: int
    etag: str


class S3Store:
    """`ObjectStore` in a bucket. Calls run in threads; what may pass is tried five times."""

    def __init__(self, url: str, *, makes_bucket: bool = True) -> None:
        """Takes a URL as `Location.parse` reads it; a bucket that is missing is made, or else an error."""
        self._location = Location.parse(url)
        self._makes_bucket = makes_bucket
        self._where = f"bucket {self._location.bucket!r} at {self._location.endpoint}"

    async def __aenter__(self) -> Self:
        location = self._location
        self._http = urllib3.PoolManager(
            maxsize=32,
            timeout=urllib3.Timeout(connect=5, read=60),
            # Only redirects are followed here: `_call` decides what is tried again.
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=3),
            ca_certs=ssl.get_default_verify_paths().cafile or certifi.where(),
        )
        self._client = Minio(
            location.endpoint, secure=location.is_secure, region=location.region, credentials=location.provider, http_client=self._http
        )
        try:
            await self._call(self._see_to_bucket)
        except Rejected as error:
            raise BadConfiguration(
                f"{error}: SPIRAL_STORE_URL may say s3:// where the server speaks TLS (s3+https://), or name a wrong ?region="
            ) from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.clear()

    async def put_bytes(self, key: str, payload: bytes) -> None:
        """See `ObjectStore`."""
        name = self._name(key)
        await self._call(lambda: self._upload(name, BytesIO(payload), len(payload)))

    async def put_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """See `ObjectStore`; large files go in parts, four at a time, and the object appears when the last one stands."""
        name = self._name(key)

        def put() -> None:
            try:
                file = path.open("rb")
            except (FileNotFoundError, IsADirectoryError) as error:
                raise NotFound(f"there is no file {path}") from error
            with file:
                num_bytes = path.stat().st_size
                self._upload(name, _CheckedReader(file, num_bytes, sha256, str(path)) if sha256 else file, num_bytes)

        await self._call(put)

    async def get_bytes(self, key: str) -> bytes:
        """See `ObjectStore`."""
        name = self._name(key)
        return await self._call(lambda: self._download(name, lambda response: bytes(response.read())))

    async def get_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """See `ObjectStore`."""
        name = self._name(key)

        def save(response: Any) -> None:
            place(stage(response.stream(CHUNK_BYTES), path.parent, sha256=sha256, what=key), path)

        await self._call(lambda: self._download(name, save))

    async def create(self, key: str, payload: bytes) -> bool:
        """See `ObjectStore`. Atomic where the server honours `If-None-Match` (AWS, MinIO, Ceph); elsewhere two writers within
        milliseconds may both get True and the last one stands, so writers of one key must write the same bytes.
        """
        name = self._name(key)

        def put() -> bool:
            # The client has no conditional put; a signed URL lets the header through on every S3.
            url = self._client.presigned_put_object(self._location.bucket, name, expires=timedelta(minutes=10))
            response = self._http.request("PUT", url, body=payload, headers={"If-None-Match": "*"})
            if response.status == 412:
                return False
            if response.status in (400, 501) and b"NotImplemented" in response.data:
                self._upload(name, BytesIO(payload), len(payload))
            elif response.status >= 300:
                raise error_of_answer(response.status, response.data.decode(errors="replace"), self._where, key)
            return True

        if await self.stat(key) is not None:
            return False
        return await self._call(put)

    async def stat(self, key: str) -> int | None:
        """See `ObjectStore`."""
        name = self._name(key)
        try:
            return await self._call(lambda: int(self._client.stat_object(self._location.bucket, name).size or 0))
        except NotFound:
            return None

    async def keys(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        start = self._location.prefix + prefix

        def walk() -> list[str]:
            found = self._client.list_objects(self._location.bucket, prefix=start, recursive=True)
            names = [str(entry.object_name) for entry in found if not entry.is_dir]
            return sorted(name.removeprefix(self._location.prefix) for name in names)

        return await self._call(walk)

    async def listing(self) -> list[Listed]:
        """All objects with their sizes, by key."""
        start = self._location.prefix

        def walk() -> list[Listed]:
            found = self._client.list_objects(self._location.bucket, prefix=start, recursive=True)
            return [
                Listed(str(entry.object_name).removeprefix(start), int(entry.size or 0), str(entry.etag or "").strip('"'))
                for entry in found
                if not entry.is_dir
            ]

        return sorted(await self._call(walk), key=lambda listed: listed.key)

    async def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        name = self._name(key)
        await self._call(lambda: self._client.remove_object(self._location.bucket, name))

    def _see_to_bucket(self) -> None:
        # Where two rooms make it at once, one is told of a conflict, looks again and finds it.
        if not self._client.bucket_exists(self._location.bucket):
            if not self._makes_bucket:
                raise BadConfiguration(f"there is no {self._where}")
            self._client.make_bucket(self._location.bucket)

    def _name(self, key: str) -> str:
        return self._location.prefix + check_key(key)

    def _upload(self, name: str, source: Any, num_bytes: int) -> None:
        part_bytes = max(PART_BYTES, math.ceil(num_bytes / _MAX_PARTS))
        self._client.put_object(
            self._location.bucket, name, source, num_bytes, part_size=part_bytes, num_parallel_uploads=_NUM_PARALLEL_PARTS
        )

    def _download(self, name: str, read: Callable[[Any], T]) -> T:
        response = self._client.get_object(self._location.bucket, name)
        try:
            return read(response)
        finally:
            # Closed, not drained: after a failure the rest of a large object would still be under way.
            response.close()
            response.release_conn()

    async def _call(self, request: Callable[[], T]) -> T:
        def translated() -> T:
            try:
                return request()
            except (MinioException, urllib3.exceptions.HTTPError) as error:
                raise error_of(error, self._where) from error

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=tenacity.stop_after_attempt(_NUM_ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=3),
            reraise=True,
        )
        return await retrying(asyncio.to_thread, translated)


class _CheckedReader:
    """A file of known size and digest. The read that completes it fails where the digest differs, so that the upload never completes."""

    def __init__(self, file: BinaryIO, num_bytes: int, sha256: str, what: str) -> None:
        self._file, self._num_left, self._sha256, self._what = file, num_bytes, sha256, what
        self._digest = hashlib.sha256()

    def read(self, num_bytes: int = -1) -> bytes:
        chunk = self._file.read(num_bytes)
        self._digest.update(chunk)
        self._num_left -= len(chunk)
        # A shorter file ends before its size is read, and differs as well.
        if (self._num_left <= 0 or not chunk) and self._digest.hexdigest() != self._sha256:
            raise DigestMismatch(f"{self._what} changed while it was stored; store it again")
        return chunk
