"""What the compose stack says when something is missing or wrong."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.compose_stack import ROOT, ComposeStack, compose_stack
from tests.e2e.conftest import TAG


def test_without_credentials_compose_says_which_command_makes_them() -> None:
    command = ["docker", "compose", "--env-file", os.devnull, "config", "--quiet"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "make compose-env" in refused.stderr


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"NATS_PLANNER_PASSWORD": "stale"}, "refuses user 'planner': check user and password in SPIRAL_BUS_URL"),
        ({"SPIRAL_S3_SECRET_KEY": "stale"}, "bucket 'spiral' at minio:9000 refuses us"),
    ],
    ids=["broker", "store"],
)
def test_a_room_with_stale_credentials_logs_why_it_does_not_start(tmp_path: Path, wrong: dict[str, str], reason: str) -> None:
    async def start() -> None:
        async with compose_stack(tmp_path, f"spiral-e2e-c-{os.getpid()}", SPIRAL_TAG=TAG) as stack:
            await stack.compose("up", "--detach", "nats", "minio")
            await stack.compose("up", "--detach", "--no-deps", "planner", **wrong)
            words = await last_words(stack, "planner")
            assert reason in words
            assert "stale" not in words
            # With the right ones the same room comes up, beside the same volumes.
            await stack.compose("up", "--detach", "--no-deps", "--wait", "planner")

    asyncio.run(start())


async def last_words(stack: ComposeStack, service: str) -> str:
    """What a service logged by the time that its container was started a second time."""
    async with asyncio.timeout(120):
        while True:
            (one,) = [one for one in await stack.containers(with_stopped=True) if one["Service"] == service]
            if one["State"] in ("restarting", "exited"):
                return await stack.compose("logs", "--no-log-prefix", service)
            await asyncio.sleep(0.5)
