"""What a room says about unfinished runs without being told anything: at its start what stands, and every second what it sees."""

import asyncio
from contextlib import aclosing

from shared.bus import Bus
from shared.catalogue import Room, Stream
from shared.envelope import MESSAGE_ID, Consequences, Sealed
from shared.errors import Retryable
from shared.history import row_of, scan
from shared.publisher import Publisher
from shared.run_spec import RunSpec
from shared.runs import BusRuns
from shared.service import Reconcile, Watch
from shared.telemetry import Tracing, log

EVERY_S = 1.0


async def say_what_stands(room: Room, reconcile: Reconcile, bus: Bus, runs: BusRuns, publisher: Publisher, tracing: Tracing) -> None:
    """Says what stands in the store or ledger and is not in the streams: a crash kept it from being said."""
    for spec in await runs.unfinished():
        unsaid: list[Sealed] = []
        trace_headers = tracing.begin("reconcile", {}).headers
        for cause, events in await reconcile(spec):
            consequences = Consequences(room, cause, trace_headers)
            unsaid += [consequences.seal(event) for event in events]
        subjects = sorted({sealed.subject for sealed in unsaid})
        for stream in Stream:
            here = [subject for subject in subjects if row_of(subject).stream is stream]
            said = {stored.headers.get(MESSAGE_ID) async for stored in scan(bus, stream, here, headers_only=True)} if here else set()
            unsaid = [sealed for sealed in unsaid if sealed.event_id not in said]
        if unsaid:
            log.warning("saying what a crash kept unsaid", run_id=spec.run_id, subjects=[sealed.subject for sealed in unsaid])
        await publisher.publish(unsaid)


async def watch_runs(room: Room, watch: Watch, runs: BusRuns, publisher: Publisher, tracing: Tracing) -> None:
    """Has a room look at its runs until cancelled.

    A broker that is away is no reason to end, and a look that fails at one run keeps nobody from looking at the others.
    """

    async def look(spec: RunSpec) -> None:
        async with aclosing(watch(spec)) as following:
            async for cause, events in following:
                span = tracing.begin("watch", {})
                consequences = Consequences(room, cause, span.headers)
                await publisher.publish([consequences.seal(event) for event in events])
                span.end()

    failures: dict[str, str] = {}
    while True:
        try:
            for spec in await runs.unfinished():
                try:
                    await look(spec)
                    failures.pop(spec.run_id, None)
                except Exception as error:
                    # Said once, not every second.
                    if not isinstance(error, Retryable) and failures.get(spec.run_id) != repr(error):
                        log.error("watching the run failed, tried again every second", run_id=spec.run_id, exc_info=error)
                    failures[spec.run_id] = repr(error)
        except Retryable as error:
            log.debug("runs not looked at", reason=str(error))
        await asyncio.sleep(EVERY_S)
