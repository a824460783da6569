"""A compose project of a test's own: its name, its credentials and its ports, gone without a trace when the block is left."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.session import Target

ROOT = Path(__file__).parents[2]
ROOMS = ("evaluator", "attributor", "planner", "generators-rendered", "generators-agentic", "quality", "trainer")
TORCH_ROOMS = ("evaluator", "trainer")


@dataclass(frozen=True)
class ComposeStack:
    """`docker compose` on the repository's own file, under a project name of its own."""

    name: str
    directory: Path
    """Holds `env`, and `reports/`."""
    environment: dict[str, str]

    async def compose(self, *arguments: str, timeout_s: float = 300.0, **environment: str) -> str:
        """Runs `docker compose ARGUMENTS` and returns its standard output.

        Raises:
            subprocess.CalledProcessError: it failed; what it said on standard error was printed.
        """
        return await run(
            "docker", "compose", "--project-name", self.name, "--env-file", str(self.directory / "env"), *arguments,
            timeout_s=timeout_s, environment={**self.environment, **environment},
        )  # fmt: skip

    async def containers(self, *, with_stopped: bool = False) -> list[dict[str, Any]]:
        """What `docker compose ps` knows of each container."""
        lines = await self.compose("ps", *(["--all"] if with_stopped else []), "--format", "json")
        return [json.loads(line) for line in lines.splitlines()]

    def target(self) -> Target:
        """Broker and store as seen from this machine."""
        values = self.values()
        bus_url = f"nats://cli:{values['NATS_CLI_PASSWORD']}@127.0.0.1:{values['SPIRAL_NATS_PORT']}"
        key, secret = values["SPIRAL_S3_ACCESS_KEY"], values["SPIRAL_S3_SECRET_KEY"]
        return Target(bus_url, f"s3://{key}:{secret}@127.0.0.1:{values['SPIRAL_S3_PORT']}/spiral", self.directory)

    def values(self) -> dict[str, str]:
        """The variables of the project's env file."""
        lines = (self.directory / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@asynccontextmanager
async def compose_stack(directory: Path, name: str, **variables: str) -> AsyncIterator[ComposeStack]:
    """A project with credentials of its own; on leaving, its containers, networks and volumes are removed. Starts nothing."""
    reports = directory / "reports"
    await run(sys.executable, "-m", "deploy.compose", str(directory / "env"), "--reports", str(reports), environment=dict(os.environ))
    with (directory / "env").open("a") as file:
        ports = {"SPIRAL_NATS_PORT": free_port(), "SPIRAL_S3_PORT": free_port()}
        file.writelines(f"{key}={value}\n" for key, value in {**ports, **variables}.items())
    stack = ComposeStack(name, directory, dict(os.environ))
    try:
        yield stack
    finally:
        await stack.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")


async def run(*command: str, environment: dict[str, str], timeout_s: float = 300.0) -> str:
    """Runs a command in the repository and returns its standard output.

    Raises:
        subprocess.CalledProcessError: it failed.
        TimeoutError: it took too long; it was killed.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), timeout_s)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        sys.stderr.write(f"$ {' '.join(command)}\n{out.decode()[-4000:]}{errors.decode()[-8000:]}\n")
        raise subprocess.CalledProcessError(process.returncode, command, out, errors)
    return out.decode()


def is_compose_there() -> bool:
    """Whether `docker compose` works on this machine."""
    if shutil.which("docker") is None:
        return False
    checks: Sequence[Sequence[str]] = (("docker", "info"), ("docker", "compose", "version"))
    return all(subprocess.run(check, capture_output=True, check=False).returncode == 0 for check in checks)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
