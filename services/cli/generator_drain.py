"""`spiral generators drain`: asks replicas to leave, and waits until they have."""

import asyncio
from collections.abc import Callable, Collection, Sequence

import grpc.aio
from spiral.v1 import generator_pb2, generator_pb2_grpc

from shared.domain import GeneratorRegistration
from shared.errors import NotFound, Retryable
from shared.registry import EXPIRY_S, GeneratorRegistry
from shared.rpc import open_channel

CALL_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.2
PROGRESS_EVERY_S = 5.0


async def drain(registry: GeneratorRegistry, name: str, *, timeout_s: float, say: Callable[[str], None]) -> None:
    """Drains one instance or all replicas of a kind, and returns once they have left the registry.

    Raises:
        NotFound: nobody of that name lives.
        Retryable: some could not be asked or are still there; all others are drained.
    """
    living = await registry.living()
    chosen = [entry for entry in living if name in (entry.generator.kind, entry.generator.instance_id)]
    if not chosen:
        raise NotFound(f"no living generator is called {name!r}, neither kind nor instance; {_roll(living)}")
    answers = await asyncio.gather(*(_ask(entry) for entry in chosen))
    for entry, answer in zip(chosen, answers, strict=True):
        if isinstance(answer, int):
            say(f"{_name(entry)} drains; it holds {answer} lease(s), which it finishes or hands back")
    failures = [answer for answer in answers if isinstance(answer, str)]
    leaving = [entry for entry, answer in zip(chosen, answers, strict=True) if isinstance(answer, int)]
    failures += await _departed(registry, leaving, timeout_s, say)
    remaining = {entry.generator.kind for entry in await registry.living()}
    for kind in sorted({entry.generator.kind for entry in chosen} - remaining):
        say(f"no replica of {kind} is left: its leases go to other kinds, or wait until `spiral generators start`")
    if failures:
        raise Retryable("\n".join(failures))


async def _ask(entry: GeneratorRegistration) -> int | str:
    """The leases that it holds, or why it could not be asked."""
    if not entry.grpc_address:
        return f"{_name(entry)} has no gRPC address: stop it by SIGTERM where it runs"
    async with open_channel(entry.grpc_address) as channel:
        stub = generator_pb2_grpc.GeneratorServiceStub(channel)
        try:
            reply = await stub.Drain(generator_pb2.DrainRequest(), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if entry.is_draining:
                return 0
            return (
                f"{_name(entry)} does not answer at {entry.grpc_address} ({error.code().name}): stop it by SIGTERM where it runs; "
                f"if it died, it is forgotten within {EXPIRY_S:.0f} s"
            )
    return int(reply.num_open_leases)


async def _departed(
    registry: GeneratorRegistry, leaving: Sequence[GeneratorRegistration], timeout_s: float, say: Callable[[str], None]
) -> list[str]:
    """Waits, saying who has left; returns who has not, in words."""
    loop = asyncio.get_running_loop()
    started = said_at = loop.time()
    remaining = {entry.generator.instance_id: entry for entry in leaving}
    while remaining:
        there = {entry.generator.instance_id for entry in await registry.living()}
        for instance_id in sorted(remaining.keys() - there):
            say(f"{_name(remaining.pop(instance_id))} has left after {loop.time() - started:.1f} s")
        if remaining and loop.time() - started > timeout_s:
            return [
                f"{_name(entry)} is still there after {timeout_s:g} s; it goes on draining, look again with `spiral generators`"
                for entry in remaining.values()
            ]
        if remaining and loop.time() - said_at > PROGRESS_EVERY_S:
            said_at = loop.time()
            say(f"waiting for {_names(remaining.values())}, {loop.time() - started:.0f} of at most {timeout_s:g} s")
        if remaining:
            await asyncio.sleep(LOOK_EVERY_S)
    return []


def _roll(living: Sequence[GeneratorRegistration]) -> str:
    return f"who lives: {_names(living)}" if living else "no generator lives"


def _names(entries: Collection[GeneratorRegistration]) -> str:
    return ", ".join(_name(entry) for entry in entries)


def _name(entry: GeneratorRegistration) -> str:
    return f"{entry.generator.kind} {entry.generator.version} {entry.generator.instance_id}"
