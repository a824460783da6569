"""The object store: where images, answers, datasets and weights live. One small port, a directory or S3 behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from shared.errors import BadConfiguration
from shared.store_directory import DirectoryStore


class ObjectStore(Protocol):
    """Immutable bytes by key. An object is visible whole or not at all; bytes stream in bounded memory where a path is given.

    Keys are relative paths of printable characters without segments that start with a dot; every method raises `Rejected` for others.
    Every method raises `Retryable` while the store can't be reached or is full, and `BadConfiguration` where it refuses the credentials.
    """

    async def put_bytes(self, key: str, payload: bytes) -> None:
        """Stores an object, over what stood there."""

    async def put_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """Stores a file's content as an object, over what stood there.

        Raises:
            NotFound: there is no such file.
            DigestMismatch: its content does not have the digest asked for, as when it changes meanwhile; nothing is stored.
        """

    async def get_bytes(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            NotFound: no object stands there.
        """

    async def get_file(self, key: str, path: Path, *, sha256: str | None = None) -> None:
        """Copies an object to a file in an existing directory. The file appears, flushed to the disk, once it is complete and checked.

        Raises:
            NotFound: no object stands there.
            DigestMismatch: its bytes do not have the digest asked for; the path is left as it was.
        """

    async def create(self, key: str, payload: bytes) -> bool:
        """Stores an object unless one stands there; says whether it did."""

    async def stat(self, key: str) -> int | None:
        """An object's size in bytes; None where none stands."""

    async def keys(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, sorted."""

    async def delete(self, key: str) -> None:
        """Removes an object; absent is fine."""


class StoreSettings(Protocol):
    """The part of a room's settings that this module reads."""

    @property
    def store_url(self) -> str:
        """`file:///absolute/directory`, or `s3://host:port/bucket` as `open_store_url` describes."""


@asynccontextmanager
async def open_store(settings: StoreSettings) -> AsyncIterator[ObjectStore]:
    """The store that the settings name, reachable and with working credentials; raises as `open_store_url`."""
    async with open_store_url(settings.store_url) as store:
        yield store


@asynccontextmanager
async def open_store_url(url: str) -> AsyncIterator[ObjectStore]:
    """The store of a URL, reachable and with working credentials.

    `file:///absolute/directory` makes the directory where it is missing. `s3://[KEY:SECRET@]host[:port]/bucket[/prefix][?region=...]`
    speaks plain HTTP, `s3+https://...` TLS; percent-encode odd characters of the secret. Without credentials in the URL those of
    the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or MinIO's names) or of ~/.aws/credentials are taken. The bucket must exist.

    Raises:
        BadConfiguration: the URL, the credentials or the bucket are wrong, or the directory can't be written.
        Retryable: nothing answers there.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise BadConfiguration("SPIRAL_STORE_URL names no absolute directory: write file:///absolute/directory, with three slashes")
        async with DirectoryStore(Path(unquote(parts.path))) as directory:
            yield directory
    elif parts.scheme in ("s3", "s3+http", "s3+https"):
        # The client is not loaded where objects live in a directory.
        from shared.store_s3 import S3Store

        async with S3Store(url) as s3:
            yield s3
    else:
        raise BadConfiguration(
            f"SPIRAL_STORE_URL has the scheme {parts.scheme!r}: write file:///absolute/directory or s3://KEY:SECRET@host:port/bucket"
        )
