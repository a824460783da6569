"""`spiral generators`: who makes candidates and how well; draining, pausing and starting them."""

import asyncio
import time
import uuid
from contextlib import suppress
from typing import Annotated

import typer

from deploy.local.beside import log_of, run_beside
from services.cli.asking import ask, show
from services.cli.console import open_console
from services.cli.generator_census import KindCensus, take_census
from services.cli.generator_drain import drain
from services.cli.generator_views import census_json, render_census
from services.cli.options import DEFAULT_STATE_DIR, BusUrl, Json, StateDir, StoreUrl
from services.cli.record import read_records
from services.cli.run_command import Interrupted, until_signal
from services.cli.session import Session, Target, open_session
from services.cli.target import running_target
from shared.cancellation import end
from shared.errors import BadConfiguration, NotFound, Retryable
from shared.history import consumer_lag

DRAIN_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.2
SHIPPED_GENERATOR = "services.generators.rendered"
generators_app = typer.Typer(invoke_without_command=True)
Kind = Annotated[str, typer.Argument(metavar="KIND", help="As `spiral generators` lists it.")]


@generators_app.callback()
def list_generators(
    context: typer.Context,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
    as_json: Json = False,
) -> None:
    """List generator kinds, versions and replicas: what waits for them, what they made, what it costs."""
    if context.invoked_subcommand is not None:
        sources = [context.get_parameter_source(name) for name in context.params]
        if any(source is not None and source.name == "COMMANDLINE" for source in sources):
            raise BadConfiguration(f"options go behind the command: spiral generators {context.invoked_subcommand} … --OPTION")
        return
    kinds, run_ids = ask(state_dir, bus_url, store_url, read_census)
    show(as_json, lambda: census_json(kinds, run_ids), lambda: render_census(kinds, run_ids, now_ns=time.time_ns()))


async def read_census(session: Session) -> tuple[tuple[KindCensus, ...], tuple[str, ...]]:
    """The census over the unfinished runs, else the latest, and the ids of those runs.

    Raises:
        Retryable: the broker is away.
    """
    runs = await session.runs.unfinished() or (await session.runs.all())[-1:]
    records = [record for spec in runs for record in await read_records(session, spec.run_id)]
    living, paused = await session.generators.living(), await session.generators.paused()
    return take_census(living, paused, await _with_consumer(session), records), tuple(spec.run_id for spec in runs)


@generators_app.command("drain")
def drain_command(
    name: Annotated[str, typer.Argument(metavar="KIND|INSTANCE", help="A kind (all its replicas) or one instance.")],
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for them to leave.")] = DRAIN_TIMEOUT_S,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
) -> None:
    """Let replicas finish what they hold, hand back the rest, and leave. No lease is lost."""
    ask(state_dir, bus_url, store_url, lambda session: drain(session.generators, name, timeout_s=timeout, say=_say))


@generators_app.command("pause")
def pause_command(kind: Kind, state_dir: StateDir = DEFAULT_STATE_DIR, bus_url: BusUrl = "", store_url: StoreUrl = "") -> None:
    """Give a kind no new leases until it is resumed. What it holds it finishes."""

    async def pause(session: Session) -> str:
        await _check_seen(session, kind)
        if kind in await session.generators.paused():
            return f"{kind} is paused already; `spiral generators resume {kind}` ends that"
        await session.generators.pause(kind)
        return (
            f"{kind} is paused: it finishes the leases that it holds and gets no new ones. Its cells go to other kinds; "
            f"those that no other serves wait until `spiral generators resume {kind}`"
        )

    _say(ask(state_dir, bus_url, store_url, pause))


@generators_app.command("resume")
def resume_command(kind: Kind, state_dir: StateDir = DEFAULT_STATE_DIR, bus_url: BusUrl = "", store_url: StoreUrl = "") -> None:
    """Give a paused kind leases again."""

    async def resume(session: Session) -> str:
        if kind not in await session.generators.paused():
            await _check_seen(session, kind)
            return f"{kind} is not paused"
        await session.generators.resume(kind)
        return f"{kind} is resumed: it gets leases again"

    _say(ask(state_dir, bus_url, store_url, resume))


@generators_app.command("start")
def start_command(
    module: Annotated[
        str, typer.Argument(metavar="[MODULE]", help="A Python module that is a generator.")
    ] = "services.generators.rendered",
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
) -> None:
    """Run one more generator beside the stack that is up, until Ctrl-C or until it is drained. Another version: from its checkout."""
    target = running_target(state_dir.expanduser().resolve(), bus_url, store_url)
    instance_id = uuid.uuid4().hex[:12]

    async def run() -> None:
        watching = asyncio.create_task(_say_when_it_serves(target, instance_id))
        try:
            await run_beside(
                module,
                bus_url=target.bus_url,
                store_url=target.store_url,
                state_dir=target.state_dir,
                instance_id=instance_id,
                announce=_say,
            )
        finally:
            await end([watching])

    _say(f"starting {module} {instance_id}, log {log_of(target.state_dir, module, instance_id)}")
    try:
        asyncio.run(until_signal(run()))
    except Interrupted:
        _say("drained and stopped")


async def _say_when_it_serves(target: Target, instance_id: str) -> None:
    # While the broker is away the generator itself waits for it, and says so in its log.
    with suppress(Retryable):
        async with open_session(target) as session:
            await _say_when_registered(session, instance_id)


async def _say_when_registered(session: Session, instance_id: str) -> None:
    while True:
        for entry in await session.generators.living():
            maker = entry.generator
            if maker.instance_id == instance_id:
                _say(f"{maker.kind} {maker.version} serves {len(entry.cells)} cells; grpc {entry.grpc_address or 'none'}")
                _say(f"Ctrl-C drains it, as does `spiral generators drain {instance_id}`")
                return
        await asyncio.sleep(LOOK_EVERY_S)


async def _check_seen(session: Session, kind: str) -> None:
    seen = {entry.generator.kind for entry in await session.generators.living()} | await _with_consumer(session)
    if kind not in seen:
        raise NotFound(f"no generator of kind {kind!r} was ever seen; known: {', '.join(sorted(seen)) or 'none'}")


async def _with_consumer(session: Session) -> set[str]:
    return {lag.kind for lag in await consumer_lag(session.bus) if lag.kind is not None}


def _say(text: str) -> None:
    open_console().print(text, highlight=False, markup=False, soft_wrap=True)
