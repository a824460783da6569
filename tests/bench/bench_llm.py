"""What the port to language models adds to a call, and how many reservations a second a budget takes.

    PYTHONPATH=.:proto/gen python -m tests.bench.bench_llm [--calls 2000] [--in-flight 64]

The same questions with the same schema go to a scripted server in a process of its own, which answers at once or after 100 ms: through the
bare `openai` client, and through the port with a budget on a real broker and replies kept in a directory. Then the same calls again, which
stand in the store. Processor time is this process's own: the server's and the broker's work is not in it.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import openai
from pydantic import BaseModel

from shared.artifacts import Artifacts
from shared.bus import Bus, connect
from shared.in_parallel import in_parallel
from shared.llm import Call, Part, Role, open_models, read_models_file
from shared.llm.budget import Amount
from shared.llm.chat_body import chat_body
from shared.llm.run_spending import RunSpending
from shared.llm.timing import Timing
from shared.llm.tuning import Tuning
from shared.run_spec import SpendingSpec
from shared.store_directory import DirectoryStore
from tests.broker import NatsServer
from tests.scripted_llm import ScriptedLlm, models_toml
from tests.settings import room_settings

WORST = Amount(1, 1000, 1000, 10**9)
ENDLESS = SpendingSpec(max_calls=10**9, max_tokens=10**12, max_cost_usd=1e9)


class Count(BaseModel):
    """What the model is asked for."""

    number: int


def call(number: int) -> Call:
    return Call(Role.ASK, "bench", "You count what you see.", (Part(text="How many triangles are there? " * 20),), seed=number)


@dataclass(frozen=True)
class Pace:
    """Calls a second, and this process's own milliseconds of processor for each."""

    per_s: float
    cpu_ms: float


async def paced(ask: Callable[[int], Awaitable[object]], num_calls: int, num_in_flight: int) -> Pace:
    began, began_cpu = time.perf_counter(), time.process_time()
    await in_parallel(ask, range(num_calls), limit=num_in_flight)
    return Pace(num_calls / (time.perf_counter() - began), (time.process_time() - began_cpu) * 1e3 / num_calls)


@contextmanager
def server(delay_s: float) -> Iterator[str]:
    """A scripted server as a child process, held by its handle."""
    arguments = [sys.executable, "-m", "tests.bench.bench_llm", "--serve", str(delay_s)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def serve(delay_s: float) -> None:
    """Until standard input ends."""
    with ScriptedLlm(lambda request: '{"number": 4}', delay_s=delay_s) as llm:
        print(llm.url, flush=True)
        sys.stdin.read()


@asynccontextmanager
async def broker(directory: Path, number: int = 1) -> AsyncIterator[list[Bus]]:
    """Connections to a broker of the benchmark's own, which syncs every write as the stack's does."""
    nats_server = NatsServer(directory / "nats")
    nats_server.start()
    try:
        settings = room_settings(nats_server, directory)
        async with connect(settings, "bench") as one, connect(settings, "bench") as other:
            yield [one, other][:number]
    finally:
        nats_server.stop()


async def compare(directory: Path, delay_s: float, num_calls: int, num_in_flight: int) -> None:
    """Bare client, port, and port again, at one server."""
    with server(delay_s) as url:
        path = directory / "models.toml"
        path.write_text(models_toml(url, timeout_s=60.0, max_in_flight=num_in_flight))
        config = read_models_file(path)
        (choice,) = config.models_for(Role.ASK)
        endpoint = config.endpoints[choice.endpoint_name]
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

            async def bare(number: int) -> Count:
                body = chat_body(call(number), Count, choice, endpoint)
                completion = await client.chat.completions.create(messages=body.messages, **body.fields)
                return Count.model_validate_json(completion.choices[0].message.content or "")

            await paced(bare, num_in_flight, num_in_flight)
            alone = await paced(bare, num_calls, num_in_flight)

        async def limits(run_id: str) -> SpendingSpec:
            return ENDLESS

        async with broker(directory) as (bus,), DirectoryStore(directory / "objects") as store:
            artifacts = Artifacts(store, cache_dir=directory / "cache", producer="bench")
            tuning = Tuning(first_in_flight=num_in_flight)
            async with open_models(config, bucket=bus.bucket, artifacts=artifacts, limits=limits, tuning=tuning) as models:

                async def ask(number: int) -> object:
                    return await models.ask(call(number), Count)

                await paced(lambda number: ask(-1 - number), num_in_flight, num_in_flight)
                ported = await paced(ask, num_calls, num_in_flight)
                kept = await paced(ask, num_calls, num_in_flight)
    print(f"  server answers after {delay_s * 1e3:.0f} ms, {num_calls} calls, {num_in_flight} in flight")
    for name, pace in (("bare openai client", alone), ("port", ported), ("port, replies kept", kept)):
        print(f"    {name:20s} {pace.per_s:8,.0f} calls/s   {pace.cpu_ms:6.2f} ms of processor a call")
    print(f"    ratio of calls/s, port to bare: {ported.per_s / alone.per_s:.2f}")


async def reservations(directory: Path, num_pairs: int, num_in_flight: int, num_writers: int) -> None:
    """Reserve and settle, by one writer or by two that contend."""
    async with broker(directory, num_writers) as buses:
        timing = Timing(time.monotonic, Random(1))
        writers = [
            RunSpending(await bus.bucket("spending"), "bench", ENDLESS, writer=f"w{n}", timing=timing) for n, bus in enumerate(buses)
        ]

        async def pair(number: int) -> None:
            writer = writers[number % num_writers]
            await writer.reserve(Role.ASK, WORST)
            await writer.settle(Role.ASK, WORST, WORST)

        pace = await paced(pair, num_pairs, num_in_flight)
    print(f"  {num_writers} writer(s), {num_in_flight} in flight: {pace.per_s:8,.0f} reservations/s, each settled too")


async def main(num_calls: int, num_in_flight: int) -> None:
    for delay_s in (0.0, 0.1):
        with tempfile.TemporaryDirectory() as name:
            await compare(Path(name), delay_s, num_calls, num_in_flight)
    for in_flight, num_writers in ((1, 1), (num_in_flight, 1), (num_in_flight, 2)):
        with tempfile.TemporaryDirectory() as name:
            await reservations(Path(name), 200 if in_flight == 1 else 5 * num_calls, in_flight, num_writers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--serve", type=float, metavar="DELAY_S")
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
    else:
        asyncio.run(main(options.calls, options.in_flight))
