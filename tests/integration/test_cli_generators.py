"""`spiral generators` beside a running stack: draining, pausing, starting, and what the list says of it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from spiral.v1 import generator_pb2, generator_pb2_grpc

from deploy.local.stack import LocalStack
from services.cli.generator_drain import drain
from services.cli.session import Session, Target, open_session
from shared.catalogue import Room
from shared.domain import GeneratorIdentity, GeneratorRegistration
from shared.errors import Retryable
from shared.events import GenerationRequested
from shared.publisher import publish_event
from shared.rpc import RpcServer
from shared.service import Servicer
from tests.examples import CAUSE, run_spec
from tests.integration.test_cli import read_until, spiral, start
from tests.integration.test_rendered_generator import lease
from tests.rooms import until


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    async with LocalStack(tmp_path / "state", rooms=("generators.rendered",)) as running:
        await running.ready()
        yield running


@pytest.fixture
async def session(stack: LocalStack, tmp_path: Path) -> AsyncIterator[Session]:
    async with open_session(Target(stack.info.bus_url, stack.info.store_url, tmp_path / "state")) as opened:
        yield opened


def replica(instance_id: str, address: str, kind: str = "rendered") -> GeneratorRegistration:
    return GeneratorRegistration(GeneratorIdentity(kind, "0.9.0", instance_id), (lease().cell,), 0.1, address, False)


class Stubborn(generator_pb2_grpc.GeneratorServiceServicer):
    """Says that it drains, and stays."""

    async def Drain(  # noqa: N802
        self, request: generator_pb2.DrainRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> generator_pb2.DrainResponse:
        return generator_pb2.DrainResponse(num_open_leases=3)


@asynccontextmanager
async def stubborn_replica() -> AsyncIterator[str]:
    add = generator_pb2_grpc.add_GeneratorServiceServicer_to_server
    server = RpcServer([Servicer("spiral.v1.GeneratorService", add, Stubborn())], host="127.0.0.1", port=0, deadline_s=5)
    yield f"127.0.0.1:{await server.start()}"
    await server.stop(0)


async def test_draining_a_kind_empties_it_for_good_and_names_who_could_not_be_asked(
    stack: LocalStack, session: Session, tmp_path: Path
) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    (living,) = await session.generators.living()
    await session.generators.announce(replica("mute", ""))
    await session.generators.announce(replica("dead", "127.0.0.1:9"))
    drained = await spiral("generators", "drain", "rendered", *state)
    assert drained.code == 1
    assert f"{living.generator.instance_id} drains; it holds 0 lease(s)" in drained.out
    assert f"{living.generator.instance_id} has left" in drained.out
    assert "mute has no gRPC address: stop it by SIGTERM" in drained.err
    assert "dead does not answer at 127.0.0.1:9" in drained.err
    assert {entry.generator.instance_id for entry in await session.generators.living()} == {"mute", "dead"}

    await until(lambda: stack.info.rooms[0].has_left)
    for silent in (replica("mute", ""), replica("dead", "127.0.0.1:9")):
        await session.generators.withdraw(silent)
    await session.runs.create(run_spec("r1"))
    await publish_event(session.bus, Room.PLANNER, CAUSE, GenerationRequested("r1", 1, lease()))
    (kind,) = (await spiral("generators", "--json", *state)).json()["kinds"]
    assert (kind["state"], kind["num_open_leases"], kind["versions"]) == ("gone", 1, [])
    assert "1 lease(s) wait" in (await spiral("generators", *state)).out
    assert "drained, gone" in (await spiral("status", *state)).out

    nobody = await spiral("generators", "drain", "rendered", *state)
    assert (nobody.code, "no generator lives" in nobody.err) == (1, True)


async def test_one_that_does_not_leave_in_time_is_named_with_what_it_held(session: Session) -> None:
    said: list[str] = []
    async with stubborn_replica() as address:
        await session.generators.announce(replica("stubborn", address, "slow"))
        with pytest.raises(Retryable, match=r"slow 0\.9\.0 stubborn is still there after 0\.3 s"):
            await drain(session.generators, "stubborn", timeout_s=0.3, say=said.append)
    assert any("it holds 3 lease(s)" in line for line in said)
    assert [entry.generator.instance_id for entry in await session.generators.living() if entry.generator.kind == "rendered"] != []


async def test_pausing_and_resuming_say_what_they_mean_and_may_be_repeated(session: Session, tmp_path: Path) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    unknown = await spiral("generators", "pause", "renderd", *state)
    assert (unknown.code, "known: rendered" in unknown.err) == (1, True)
    assert await session.generators.paused() == frozenset()
    for words in ("gets no new ones", "paused already"):
        answer = await spiral("generators", "pause", "rendered", *state)
        assert (answer.code, words in answer.out) == (0, True)
        assert await session.generators.paused() == {"rendered"}
    (kind,) = (await spiral("generators", "--json", *state)).json()["kinds"]
    assert (kind["state"], kind["is_paused"], kind["versions"][0]["replicas"][0]["state"]) == ("paused", True, "paused")
    for words in ("gets leases again", "is not paused"):
        answer = await spiral("generators", "resume", "rendered", *state)
        assert (answer.code, words in answer.out) == (0, True)
        assert await session.generators.paused() == frozenset()


async def test_a_replica_started_beside_the_stack_lives_in_its_terminal(session: Session, tmp_path: Path) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    second = await start("generators", "start", *state)
    await read_until(second, "rendered 1.0.0 serves 24 cells")
    (kind,) = (await spiral("generators", "--json", *state)).json()["kinds"]
    assert len(kind["versions"][0]["replicas"]) == 2
    second.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(second.communicate(), 20)
    assert (second.returncode, "drained and stopped" in out.decode()) == (0, True)
    assert len(await session.generators.living()) == 1


async def test_options_before_the_command_are_refused_rather_than_ignored(tmp_path: Path) -> None:
    refused = await spiral("generators", "--state-dir", str(tmp_path), "pause", "rendered")
    assert (refused.code, "options go behind the command" in refused.err) == (2, True)


async def test_an_announcement_that_is_no_registration_is_left_out(session: Session, tmp_path: Path) -> None:
    bucket = await session.bus.bucket("spiral_generators", 10.0)
    await bucket.put("broken.x", b"\xff\xff")
    await session.generators.announce(replace(replica("a", "127.0.0.1:9"), unit_cost_s=3.0))
    listed = (await spiral("generators", "--json", "--state-dir", str(tmp_path / "state"))).json()["kinds"]
    assert [kind["kind"] for kind in listed] == ["rendered"]
