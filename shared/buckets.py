"""Key-value buckets of JetStream as the `KeyValue` port: durable, and changed by compare-and-set."""

import nats.errors
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError, NoStreamResponseError
from nats.js.kv import KeyValue as Store

from shared.errors import BadConfiguration, OutOfSpace, Retryable, SpiralError
from shared.ports import Conflict, Entry

_AWAY = (
    nats.errors.TimeoutError,
    nats.errors.NoRespondersError,
    nats.errors.ConnectionClosedError,
    nats.errors.OutboundBufferLimitError,
    NoStreamResponseError,
    OSError,
)

_INSUFFICIENT_RESOURCES = 10023
_NO_SUITABLE_PEERS, _NOT_CLUSTERED = 10005, 10074


def full_of(error: Exception) -> OutOfSpace | None:
    """What to say where an error means that JetStream has no storage left."""
    if not isinstance(error, APIError) or error.err_code != _INSUFFICIENT_RESOURCES:
        return None
    return OutOfSpace(
        "the broker's storage is full: give JetStream more (max_file_store) or free some; the work is taken up again by itself"
    )


def uncopied_of(what: str, error: Exception, num_replicas: int) -> SpiralError | None:
    """What to say where an error means that the broker has no place for so many copies."""
    code = error.err_code if isinstance(error, APIError) else None
    if code == _NOT_CLUSTERED:
        return BadConfiguration(
            f"{what} can't have {num_replicas} copies, for the broker is a single server: set SPIRAL_BUS_REPLICAS=1, or name a cluster"
        )
    if code == _NO_SUITABLE_PEERS:
        return Retryable(f"{what} can't have {num_replicas} copies yet: too few of the broker's servers are up")
    return None


class Bucket:
    """One bucket. Every method raises Retryable while the broker is away; after a lost answer the value may have changed or not."""

    def __init__(self, js: JetStreamContext, store: Store, name: str) -> None:
        self._js = js
        self._store = store
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."
        self._name = name
        self.is_lost = False
        """Nobody answered for it: it may have been removed, so whoever needs it opens it again."""

    async def get(self, key: str) -> Entry | None:
        """The current value, or None."""
        try:
            entry = await self._store.get(key)
        except KeyNotFoundError:
            return None
        except (*_AWAY, APIError) as error:
            raise self._away(error) from error
        return Entry(entry.value or b"", entry.revision or 0)

    async def create(self, key: str, value: bytes) -> int:
        """Sets an absent key and returns its revision.

        Raises:
            Conflict: the key exists.
        """
        try:
            return await self._store.create(key, value)
        except KeyWrongLastSequenceError as error:
            raise Conflict(f"{self._name}/{key} exists") from error
        except (*_AWAY, APIError) as error:
            raise self._away(error) from error

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Sets a key whose last revision is `revision`.

        Raises:
            Conflict: it is not.
        """
        try:
            return await self._store.update(key, value, last=revision)
        except KeyWrongLastSequenceError as error:
            raise Conflict(f"{self._name}/{key} is no longer at revision {revision}") from error
        except (*_AWAY, APIError) as error:
            raise self._away(error) from error

    async def put(self, key: str, value: bytes) -> int:
        """Sets a key whatever it held."""
        try:
            return await self._store.put(key, value)
        except (*_AWAY, APIError) as error:
            raise self._away(error) from error

    async def delete(self, key: str) -> None:
        """Removes a key and its history; absent is fine."""
        try:
            await self._js.purge_stream(self._stream, subject=f"{self._prefix}{key}")
        except (*_AWAY, APIError) as error:
            raise self._away(error) from error

    async def keys(self, prefix: str = "") -> list[str]:
        """The living keys that start with `prefix`, sorted."""
        try:
            info = await self._js.stream_info(self._stream, subjects_filter=f"{self._prefix}>")
        except (*_AWAY, APIError) as error:
            raise self._away(error) from error
        keys = (subject.removeprefix(self._prefix) for subject in info.state.subjects or ())
        return sorted(key for key in keys if key.startswith(prefix))

    def _away(self, error: Exception) -> Retryable:
        self.is_lost = self.is_lost or isinstance(error, NoStreamResponseError)
        return full_of(error) or Retryable(f"bucket {self._name}: {error!r}")


async def open_bucket(js: JetStreamContext, name: str, *, ttl_s: float, num_replicas: int) -> Bucket:
    """A bucket of that name, made where it does not exist; one with fewer copies gets more.

    Raises:
        Retryable: the broker is away.
        BadConfiguration: the broker can't keep so many copies.
    """
    try:
        try:
            store = await _open(js, name, ttl_s, num_replicas)
        except TimeoutError:
            # A stream that another room is just making has no leader yet, and nobody else answers for it.
            store = await _open(js, name, ttl_s, num_replicas)
    except (TimeoutError, *_AWAY, APIError) as error:
        raise uncopied_of(f"bucket {name}", error, num_replicas) or Retryable(f"bucket {name}: {error!r}") from error
    return Bucket(js, store, name)


async def _open(js: JetStreamContext, name: str, ttl_s: float, num_replicas: int) -> Store:
    try:
        store = await js.key_value(name)
    except BucketNotFoundError:
        # Two rooms may make it at the same time; with equal properties both succeed.
        return await js.create_key_value(
            bucket=name, history=1, ttl=ttl_s or None, storage=api.StorageType.FILE, replicas=num_replicas, direct=False
        )
    if num_replicas > 1:
        config = (await js.stream_info(f"KV_{name}")).config
        if (config.num_replicas or 1) < num_replicas:
            await js.update_stream(config.evolve(num_replicas=num_replicas))
    return store
