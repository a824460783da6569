"""Looking at every unfinished run about once a second, and saying what follows."""

import asyncio
from contextlib import aclosing

from shared.catalogue import Room
from shared.envelope import Consequences
from shared.errors import Retryable
from shared.publisher import Publisher
from shared.run_spec import RunSpec
from shared.runs import BusRuns
from shared.service import Watch
from shared.telemetry import Tracing, log

EVERY_S = 1.0


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
