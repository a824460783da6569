"""Version 2 of a generator's image replaces version 1 in a compose stack that has its hands full."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from services.cli.session import open_session
from tests.arrivals import gaps, read_arrivals, read_leases
from tests.e2e.compose_stack import ROOT, ComposeStack, compose_stack, run
from tests.rooms import eventually
from tests.swap import NEXT_VERSION, RUN_ID, arrived, ask_for_all_cells, next_version, sealed

GENERATORS = "generators-rendered"
TAG = "e2e-swap"
NUM_SAMPLES = 6_000
LEASE_SIZE = 32

pytestmark = pytest.mark.usefixtures("images")


def test_a_new_image_takes_over_and_no_lease_is_lost_or_done_twice(tmp_path: Path) -> None:
    async def swap() -> None:
        async with compose_stack(tmp_path, f"spiral-e2e-s-{os.getpid()}", SPIRAL_TAG=TAG) as stack:
            await stack.compose("build", "planner", "quality", GENERATORS, "spiral", timeout_s=900)
            await stack.compose("up", "--detach", "--wait", "nats", "minio", "planner", "quality", GENERATORS)
            async with open_session(stack.target(), start_timeout_s=60) as session:
                (former,) = await session.generators.living()
                await build_next_version(tmp_path / "next")
                await ask_for_all_cells(session, num_samples=NUM_SAMPLES, lease_size=LEASE_SIZE)
                await arrived(session, NUM_SAMPLES // 4)

                began_ns = time.time_ns()
                await stack.compose("up", "--detach", "--no-deps", "--no-recreate", "--scale", f"{GENERATORS}=2", GENERATORS)

                async def serves() -> bool:
                    return any(one.generator.version == NEXT_VERSION for one in await session.generators.living())

                await eventually(serves, 60)
                said = await stack.compose("run", "--rm", "spiral", "generators", "drain", former.generator.instance_id)
                ended_ns = time.time_ns()
                assert former.generator.instance_id in said

                await sealed(session)
                leases = await read_leases(session.bus, RUN_ID)
                assert leases.issued.keys() == leases.answered.keys() == leases.reviewed.keys()
                assert {*leases.issued.values(), *leases.answered.values(), *leases.reviewed.values()} == {1}
                arrivals = await read_arrivals(session.bus, RUN_ID)
                assert {one.generator.version for one in arrivals} == {former.generator.version, NEXT_VERSION}
                assert await states(stack) == ["exited", "running"]
                # Once the old one is cleared away, the stack goes on with the new one alone.
                living = await session.generators.living()
                await stack.compose("rm", "--force", GENERATORS)
                await stack.compose("up", "--detach", "--no-deps", GENERATORS)
                assert await states(stack) == ["running"]
                assert await session.generators.living() == living
                assert [one.generator.version for one in living] == [NEXT_VERSION]
                normal = [gaps(arrivals, end_ns=began_ns), gaps(arrivals, begin_ns=ended_ns)]
                during = gaps(arrivals, begin_ns=began_ns, end_ns=ended_ns)
                # For whoever reads the log; a busy machine decides nothing here.
                print(f"longest gap {during.longest_s:.2f} s in the swap, {max(one.longest_s for one in normal):.2f} s otherwise")

    asyncio.run(swap())


async def build_next_version(directory: Path) -> None:
    """The image of a source tree in which the generator has the next version, under the tag of the former."""
    next_version(directory)
    for name in ("pyproject.toml", "requirements.lock", "LICENSE", "docker-compose.yml", ".dockerignore"):
        shutil.copy(ROOT / name, directory / name)
    secrets = [f"--secret=id=pip_ca,src={os.environ.get('PIP_CERT', os.devnull)}"]
    secrets += [f"--secret=id=pip_conf,src={os.environ.get('PIP_CONFIG_FILE', os.devnull)}"]
    image = f"spiral/{GENERATORS}:{TAG}"
    await run(
        *("docker", "build", *secrets, "--file", str(directory / "deploy" / "Dockerfile"), "--target", GENERATORS, "--tag", image),
        str(directory),
        environment=dict(os.environ),
        timeout_s=600,
    )


async def states(stack: ComposeStack) -> list[str]:
    """What the generator's containers are doing, sorted."""
    return sorted(one["State"] for one in await stack.containers(with_stopped=True) if one["Service"] == GENERATORS)
