"""A generator of house fronts that knows Spiral by its proto alone; services/generators/README.md explains what it does and why.

SPIRAL_BUS_URL=nats://... SPIRAL_STORE_URL=file:///... python generator.py
"""

import asyncio
import hashlib
import io
import os
import signal
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nats
from house_fronts import CELLS, KIND, VERSION, make_parquet
from minio import Minio
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.kv import KeyValue
from spiral.v1 import events_pb2, generator_pb2, types_pb2

STREAM, DURABLE, SUBJECT = "SPIRAL_WORK", f"generators_{KIND}_generation-requested", f"generation.requested.{KIND}.*"
ACK_WAIT_S = float(os.environ.get("SPIRAL_ACK_WAIT_S", "30"))

Make = Callable[[types_pb2.Lease], tuple[bytes, int]]


def store(payload: bytes) -> types_pb2.ArtifactRef:
    """Puts an object under its digest, in a directory or an S3 bucket."""
    digest = hashlib.sha256(payload).hexdigest()
    key = f"blobs/sha256/{digest[:2]}/{digest}"
    url = urlsplit(os.environ["SPIRAL_STORE_URL"])
    if url.scheme == "file":
        path = Path(unquote(url.path), key)
        path.parent.mkdir(parents=True, exist_ok=True)
        incoming = path.with_name(f".{uuid.uuid4().hex}")
        incoming.write_bytes(payload)
        incoming.replace(path)
    else:
        bucket, _, prefix = url.path.strip("/").partition("/")
        host, key_id, secret = url.netloc.rpartition("@")[2], unquote(url.username or ""), unquote(url.password or "")
        client = Minio(host, key_id, secret, secure=url.scheme == "s3+https", region="us-east-1")
        client.put_object(bucket, f"{prefix}/{key}" if prefix else key, io.BytesIO(payload), len(payload))
    return types_pb2.ArtifactRef(uri=f"spiral://{key}", sha256=digest, num_bytes=len(payload))


async def answer_lease(js: JetStreamContext, message: Msg, identity: types_pb2.GeneratorIdentity, make: Make) -> None:
    """Makes, stores, announces, acknowledges: in this order, so that a death at any point only repeats what stands already."""

    async def keep_hold() -> None:
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            await message.in_progress()

    holding = asyncio.create_task(keep_hold())
    try:
        request = events_pb2.GenerationRequested.FromString(message.data)
        payload, num_candidates = await asyncio.to_thread(make, request.lease)
        candidates = await asyncio.to_thread(store, payload)
        event = events_pb2.CandidatesGenerated(
            run_id=request.run_id,
            iteration=request.iteration,
            lease=request.lease,
            candidates=candidates,
            num_candidates=num_candidates,
            generator=identity,
        )
        subject = f"candidates.generated.{request.run_id}"
        received = message.headers or {}
        event_id = hashlib.sha256(f"generators\n{received['ce-id']}\n{subject}\n0".encode()).hexdigest()
        headers = {
            "Nats-Msg-Id": event_id,
            "ce-id": event_id,
            "ce-type": "spiral.v1.CandidatesGenerated",
            "ce-source": f"/{KIND}",
            "ce-time": datetime.now(UTC).isoformat(),
            "ce-specversion": "1.0",
            "Spiral-Caused-At": str(int(message.metadata.timestamp.timestamp() * 1e9)),
        }
        if "traceparent" in received:
            headers["traceparent"] = received["traceparent"]
        await js.publish(subject, event.SerializeToString(), timeout=30, headers=headers)
        await message.ack_sync(timeout=5)
    except Exception as error:
        print(f"lease handed back: {error!r}", flush=True)
        await message.nak(delay=min(30.0, 0.5 * 2 ** min(message.metadata.num_delivered, 6)))
    finally:
        holding.cancel()


async def once_there(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, as soon as the rooms have made what is asked for."""
    while True:
        try:
            return await ask()
        except nats.errors.Error:
            await asyncio.sleep(0.5)


async def main(make: Make = make_parquet) -> None:
    """Serves leases until SIGTERM."""
    url = os.environ["SPIRAL_BUS_URL"]
    user = urlsplit(url).username
    client = await nats.connect(url, max_reconnect_attempts=-1, inbox_prefix=f"_INBOX.{user}" if user else "_INBOX")
    js = client.jetstream()
    identity = types_pb2.GeneratorIdentity(kind=KIND, version=VERSION, instance_id=uuid.uuid4().hex[:12])
    entry = generator_pb2.GeneratorRegistration(generator=identity, cells=CELLS, unit_cost_s=0.001)
    key = f"{KIND}.{identity.instance_id}"
    config = api.ConsumerConfig(
        durable_name=DURABLE,
        filter_subject=SUBJECT,
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_deliver=-1,
        max_ack_pending=10_000,
    )
    await once_there(lambda: js.add_consumer(STREAM, config))
    registry: KeyValue = await once_there(lambda: js.key_value("spiral_generators"))
    leases = await js.pull_subscribe_bind(consumer=DURABLE, stream=STREAM)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def announce() -> None:
        while True:
            entry.is_draining = stop.is_set()
            await once_there(lambda: registry.put(key, entry.SerializeToString()))
            await asyncio.sleep(3)

    announcing = asyncio.create_task(announce())
    while not stop.is_set():
        try:
            messages = await leases.fetch(1, timeout=1)
        except nats.errors.Error:
            continue
        for message in messages:
            await (message.nak() if stop.is_set() else answer_lease(js, message, identity, make))
    announcing.cancel()
    await registry.delete(key)
    await client.flush()
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
