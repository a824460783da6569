"""What a container's health check runs, against a room's real gRPC server; and the name under which others reach a room."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from shared.rpc import RpcServer
from shared.settings import RoomSettings
from tests.broker import free_port

ROOT = Path(__file__).parents[2]


async def probe(port: int) -> int:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "shared.health_probe", str(port), env=environment, cwd="/")
    return await asyncio.wait_for(process.wait(), 20)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_container_is_healthy_only_while_its_room_serves(host: str) -> None:
    server = RpcServer([], host=host, port=0, deadline_s=5)
    port = await server.start()
    assert await probe(port) == 1
    await server.report(is_serving=True)
    assert await probe(port) == 0
    await server.report(is_serving=False)
    assert await probe(port) == 1
    await server.stop(0)
    assert await probe(free_port()) == 1


def test_a_room_that_listens_everywhere_is_reached_by_its_machines_name() -> None:
    reached = {
        (host, name): RoomSettings(store_url="file:///x", grpc_host=host, grpc_advertised_host=name).reachable_host
        for host, name in [("127.0.0.1", ""), ("0.0.0.0", ""), ("::", ""), ("0.0.0.0", "10.0.0.7")]
    }
    assert list(reached.values()) == ["127.0.0.1", socket.gethostname(), socket.gethostname(), "10.0.0.7"]
