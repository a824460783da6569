"""Images in a bucket."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from services.cli.pool_details import MAX_CAPTION, NO_DETAILS, ImageDetails, plain_text
from services.cli.pool_sources import MAX_SIDECAR_BYTES, UNREADABLE, Found, Unusable, is_image_name, said_of
from shared.domain import RejectionReason
from shared.errors import BadConfiguration, NotFound, Rejected
from shared.store_s3 import Listed, S3Store

# One object may be kept from us; so many one after the other mean that the credentials are refused by now.
_DENIED_IN_A_ROW = 20


@asynccontextmanager
async def open_s3_source(url: str, captions: Mapping[str, ImageDetails], *, max_bytes: int) -> AsyncIterator["S3Source"]:
    """The images of a bucket; a bucket that is missing is not made.

    Raises:
        BadConfiguration: it is no address of a bucket that stands, or the credentials are refused or not to be had.
        Retryable: nothing answers there.
    """
    async with AsyncExitStack() as opened:
        try:
            store = await opened.enter_async_context(S3Store(url, makes_bucket=False))
        except BadConfiguration as error:
            # The store names the setting of the rooms; this is another address.
            raise BadConfiguration(str(error).replace("SPIRAL_STORE_URL", "the source")) from error
        yield S3Source(store, url, captions, max_bytes=max_bytes)


class S3Source:
    """The objects below a prefix of a bucket. The origin of an image is its address with its etag, never with the credentials."""

    def __init__(self, store: S3Store, url: str, captions: Mapping[str, ImageDetails], *, max_bytes: int) -> None:
        """Takes an open store and its address."""
        self._store = store
        parts = urlsplit(url)
        self._bucket = parts.path.strip("/")
        self._address = f"s3://{parts.hostname}{f':{parts.port}' if parts.port else ''}/{self._bucket}"
        self._captions, self._max_bytes = captions, max_bytes
        self._listing: dict[str, Listed] | None = None
        self._num_denied = 0

    @property
    def name(self) -> str:
        """See `Source`."""
        return self._bucket

    @property
    def may_know_licences(self) -> bool:
        """See `Source`."""
        return any(details.licence for details in self._captions.values())

    async def count(self) -> int:
        """See `Source`; lists the bucket."""
        return sum(is_image_name(key.rpartition("/")[2]) for key in await self._listed())

    async def found(self) -> AsyncIterator[Found]:
        """See `Source`."""
        for key, listed in (await self._listed()).items():
            if is_image_name(key.rpartition("/")[2]):
                origin = f"{self._address}/{key}"
                yield Found(f"{origin}?etag={listed.etag}" if listed.etag else origin, partial(self._read, listed), bool(listed.etag))

    async def _listed(self) -> dict[str, Listed]:
        if self._listing is None:
            self._listing = {listed.key: listed for listed in await self._store.listing()}
        return self._listing

    async def _read(self, listed: Listed) -> tuple[bytes, ImageDetails]:
        if listed.num_bytes > self._max_bytes:
            detail = f"{listed.num_bytes:,} bytes are more than the cap of {self._max_bytes:,}"
            raise Unusable(RejectionReason.IMAGE_TOO_LARGE.value, detail)
        payload = await self._get(listed.key)
        beside = NO_DETAILS
        text = (await self._listed()).get(f"{listed.key.rpartition('.')[0]}.txt")
        if text is not None and text.num_bytes <= MAX_SIDECAR_BYTES:
            written = (await self._get(text.key)).decode(errors="replace")
            beside = ImageDetails(caption=plain_text(written, max_length=MAX_CAPTION))
        return payload, said_of(self._captions, listed.key).or_else(beside)

    async def _get(self, key: str) -> bytes:
        try:
            payload = await self._store.get_bytes(key)
        except NotFound as error:
            raise Unusable(UNREADABLE, "vanished since the bucket was listed") from error
        except BadConfiguration as error:
            self._num_denied += 1
            if self._num_denied >= _DENIED_IN_A_ROW:
                raise
            raise Unusable(UNREADABLE, str(error)) from error
        except Rejected as error:
            raise Unusable(UNREADABLE, str(error)) from error
        self._num_denied = 0
        return payload
