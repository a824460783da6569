"""End-to-end tests: the real compose stack, from built images to the report. Skipped, loudly, where no container engine works."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.compose_stack import ComposeStack, compose_stack, is_compose_there

TAG = "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks everything in this folder, and skips it where containers can't run."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    reason = "" if not mine or is_compose_there() else "`docker compose` does not work on this machine"
    for item in mine:
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(1800))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """A project whose images were all built from this tree; nothing of it runs."""

    async def build(stack: ComposeStack) -> None:
        await stack.compose("--profile", "*", "build", timeout_s=1500)

    name = f"spiral-e2e-images-{os.getpid()}"
    with asyncio.Runner() as runner:
        opened = compose_stack(tmp_path_factory.mktemp("images"), name, SPIRAL_TAG=TAG)
        stack = runner.run(opened.__aenter__())
        try:
            runner.run(build(stack))
            yield stack
        finally:
            runner.run(opened.__aexit__(None, None, None))
