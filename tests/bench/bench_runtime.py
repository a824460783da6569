"""Events per second and hand-off latency through the runtime, as a ratio to a bare nats-py loop with the same guarantees.

Both take an event from a durable pull consumer, publish one that follows under a message id, wait for the stream's word, and acknowledge
doubly, with the same number in flight, on the same broker, one after the other in alternating rounds.

    python -m tests.bench.bench_runtime [--events 3000] [--in-flight 32] [--rounds 3] [--sync-interval always]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from shared import wire
from shared.bus import Bus, connect
from shared.catalogue import Room
from shared.domain import Cell, GeneratorIdentity, ImageCategory, Lease, QuestionType, Recipe, RejectionReason, Verdict
from shared.envelope import Consequences
from shared.events import CandidatesGenerated, CandidatesReviewed, Event
from shared.ports import Delivery
from shared.runs import BusRuns
from shared.settings import RoomSettings
from shared.telemetry import configure_logs
from tests.broker import NatsServer
from tests.examples import CAUSE, artifact, model, run_spec
from tests.rooms import living_room, serving
from tests.settings import room_settings

RUN = "bench"


@dataclass(frozen=True)
class Measured:
    """One round."""

    events_per_s: float
    handoff_s: list[float]
    """From the start of publishing an event to the start of its handler, one event at a time."""


def lease(number: int) -> Lease:
    cell = Cell(ImageCategory.MAP, QuestionType.TEXT)
    return Lease(f"{RUN}.1.map.text.{number}", cell, Recipe.TEACH, "rendered", number, 64, 32, number, 0.5, 64, model(RUN))


def generated(number: int) -> CandidatesGenerated:
    return CandidatesGenerated(RUN, 1, lease(number), artifact("candidates"), 10, GeneratorIdentity("rendered", "1.0.0", "bench"))


def reviewed(event: CandidatesGenerated) -> CandidatesReviewed:
    verdicts = tuple(
        Verdict(f"candidate-{i}", i % 2 == 0, None if i % 2 == 0 else RejectionReason.EXACT_DUPLICATE, "", 0.5) for i in range(10)
    )
    return CandidatesReviewed(RUN, 1, event.lease, artifact("review"), verdicts, event.generator)


async def publish_all(bus: Bus, first: int, count: int) -> None:
    for start in range(first, first + count, 200):
        numbers = range(start, min(start + 200, first + count))
        sealed = [
            Consequences(Room.GENERATORS, replace(CAUSE, event_id=f"lease-{n}", stored_at_ns=time.time_ns()), {}).seal(generated(n))
            for n in numbers
        ]
        await asyncio.gather(*(bus.publish(one.subject, one.payload, one.headers) for one in sealed))


class Stopwatch:
    """Counts handled events, and notes when each began to be handled."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.num_handled = 0
        self.arrival = asyncio.Event()
        self.arrived_at = 0.0
        self.done = asyncio.Event()

    def arrived(self) -> None:
        self.arrived_at = time.perf_counter()
        self.arrival.set()

    def handled(self) -> None:
        self.num_handled += 1
        if self.num_handled == self.expected:
            self.done.set()


async def handoffs(bus: Bus, watch: Stopwatch, first: int, count: int) -> list[float]:
    latencies = []
    for number in range(first, first + count):
        watch.arrival.clear()
        started = time.perf_counter()
        await publish_all(bus, number, 1)
        await watch.arrival.wait()
        latencies.append(watch.arrived_at - started)
    return latencies


async def consumed(bus: Bus, durable: str) -> None:
    while True:
        info = await bus.js.consumer_info("SPIRAL_WORK", durable)
        if not info.num_pending and not info.num_ack_pending:
            return
        await asyncio.sleep(0.002)


async def through_runtime(bus: Bus, settings: RoomSettings, first: int, count: int, num_handoffs: int) -> Measured:
    """The quality room with a handler that returns one event for each."""
    watch = Stopwatch(count)
    following = reviewed(generated(0))

    async def on_candidates_generated(event: CandidatesGenerated, _: Delivery) -> list[Event]:
        watch.arrived()
        watch.handled()
        return [following]

    async def unused(event: Event, _: Delivery) -> list[Event]:
        return []

    from shared.events import MixturePlanned, PlanClosed

    await publish_all(bus, first, count)
    handlers = {CandidatesGenerated: on_candidates_generated, MixturePlanned: unused, PlanClosed: unused}
    async with living_room(settings, handlers, room=Room.QUALITY):
        started = await first_arrival(watch)
        await watch.done.wait()
        await consumed(bus, "quality_candidates-generated")
        elapsed = time.perf_counter() - started
        await serving(bus, Room.QUALITY)
        latencies = await handoffs(bus, watch, first + count, num_handoffs)
        await consumed(bus, "quality_candidates-generated")
    return Measured(count / elapsed, latencies)


async def first_arrival(watch: Stopwatch) -> float:
    await watch.arrival.wait()
    return watch.arrived_at


async def through_bare_loop(bus: Bus, settings: RoomSettings, first: int, count: int, num_handoffs: int) -> Measured:
    """What a careful user of nats-py writes: fetch, publish with an id and wait, ack_sync."""
    watch = Stopwatch(count)
    payload = wire.encode(reviewed(generated(0)))
    client = await nats.connect(settings.bus_url)
    js: JetStreamContext = client.jetstream()
    config = api.ConsumerConfig(durable_name="bare", ack_policy=api.AckPolicy.EXPLICIT, filter_subject="candidates.generated.*")
    await js.add_consumer("SPIRAL_WORK", config)
    subscription = await js.pull_subscribe_bind(durable="bare", stream="SPIRAL_WORK")

    async def handle(message: Msg) -> None:
        watch.arrived()
        headers = {"Nats-Msg-Id": f"bare-{first}-{message.metadata.sequence.stream}"}
        await js.publish(f"candidates.reviewed.{RUN}", payload, headers=headers)
        await message.ack_sync()
        watch.handled()

    async def consume() -> None:
        free = asyncio.Semaphore(settings.max_in_flight)
        tasks: set[asyncio.Task[None]] = set()

        async def one(message: Msg) -> None:
            try:
                await handle(message)
            finally:
                free.release()

        while True:
            await free.acquire()
            count = 1
            while not free.locked() and count < settings.max_in_flight:
                await free.acquire()
                count += 1
            try:
                messages = await subscription.fetch(count, timeout=5)
            except nats.errors.TimeoutError:
                messages = []
            for _ in range(count - len(messages)):
                free.release()
            for message in messages:
                task = asyncio.create_task(one(message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    await publish_all(bus, first, count)
    consuming = asyncio.create_task(consume())
    started = await first_arrival(watch)
    await watch.done.wait()
    await consumed(bus, "bare")
    elapsed = time.perf_counter() - started
    latencies = await handoffs(bus, watch, first + count, num_handoffs)
    await consumed(bus, "bare")
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    await client.close()
    return Measured(count / elapsed, latencies)


Way = Callable[[Bus, RoomSettings, int, int, int], Awaitable[Measured]]


async def measure(args: argparse.Namespace) -> None:
    configure_logs("bench", "bench", level="error", is_json=False)
    with tempfile.TemporaryDirectory() as scratch:
        server = NatsServer(Path(scratch) / "nats", sync_interval=args.sync_interval)
        server.start()
        try:
            settings = room_settings(server, Path(scratch), max_in_flight=args.in_flight, ack_wait_s=30.0)
            ways: dict[str, Way] = {"bare nats-py": through_bare_loop, "runtime": through_runtime}
            rounds: dict[str, list[Measured]] = {name: [] for name in ways}
            async with connect(settings, "bench") as bus:
                await bus.declare_streams()
                await BusRuns(bus).create(run_spec(RUN))
                for number in range(args.rounds + 1):
                    for place, (name, way) in enumerate(ways.items()):
                        await bus.js.purge_stream("SPIRAL_WORK")
                        first = (2 * number + place) * 1_000_000
                        rounds[name].append(await way(bus, settings, first, args.events, args.handoffs))
        finally:
            server.stop()
    report(args, {name: measured[1:] for name, measured in rounds.items()})


def report(args: argparse.Namespace, rounds: dict[str, list[Measured]]) -> None:
    print(f"{args.events} events a round, {args.in_flight} in flight, sync_interval {args.sync_interval}, median of {args.rounds} rounds")
    print(f"{'':14}{'events/s':>10}{'hand-off p50':>15}{'p99':>10}")
    rates = {}
    for name, measured in rounds.items():
        rates[name] = statistics.median(one.events_per_s for one in measured)
        latencies = sorted(latency for one in measured for latency in one.handoff_s)
        p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
        print(f"{name:14}{rates[name]:>10,.0f}{p50 * 1e3:>12.2f} ms{p99 * 1e3:>7.2f} ms")
    print(f"runtime / bare: {rates['runtime'] / rates['bare nats-py']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--handoffs", type=int, default=200)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sync-interval", default="always")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
