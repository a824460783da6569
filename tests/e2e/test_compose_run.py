"""`docker compose up` turns the spiral; rooms that are rebuilt, restarted and doubled on the way change nothing in what comes out."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.cli.preparation import check_run
from services.cli.run_settings import RunSettings
from services.cli.session import Session, open_session
from shared import events as e
from shared.history import follow
from shared.run_spec import RunSpec
from tests.chaos.small_run import Outcome, as_options, complaints, read_outcome, small_settings
from tests.e2e.compose_stack import ROOMS, ComposeStack, compose_stack
from tests.e2e.conftest import TAG

NUM_ITERATIONS = 3

pytestmark = pytest.mark.usefixtures("images")

Step = Callable[[ComposeStack], Awaitable[object]]


@dataclass
class Disturbance:
    """Something done to a running stack, and its name."""

    name: str
    step: Step


def rebuilt(room: str) -> Disturbance:
    """A room built anew, so that its image differs, and recreated alone."""

    async def step(stack: ComposeStack) -> None:
        before = await container_ids(stack)
        await stack.compose("up", "--detach", "--no-deps", "--build", room, SPIRAL_REVISION=f"rebuilt-{room}")
        after = await container_ids(stack)
        assert not before[room] & after[room], f"{room} was not recreated"
        assert {name: ids for name, ids in before.items() if name != room} == {name: ids for name, ids in after.items() if name != room}

    return Disturbance(f"rebuild {room}", step)


def restarted(service: str) -> Disturbance:
    """A store of everything, stopped and started."""
    return Disturbance(f"restart {service}", lambda stack: stack.compose("restart", service))


def doubled(*services: str) -> Disturbance:
    """Two replicas of each from now on."""
    scales = [word for service in services for word in ("--scale", f"{service}=2")]

    async def step(stack: ComposeStack) -> None:
        await stack.compose("up", "--detach", "--no-deps", "--no-recreate", *scales, *services)
        ids = await container_ids(stack)
        assert [len(ids[service]) for service in services] == [2] * len(services)

    return Disturbance(f"double {', '.join(services)}", step)


async def container_ids(stack: ComposeStack) -> dict[str, set[str]]:
    """The running containers of each service, but for the job."""
    found: dict[str, set[str]] = {}
    for one in await stack.containers():
        if one["Service"] != "spiral":
            found.setdefault(one["Service"], set()).add(one["ID"])
    return found


@pytest.fixture(scope="module")
def settings() -> RunSettings:
    return small_settings(seed=0, num_iterations=NUM_ITERATIONS)


@pytest.fixture(scope="module")
def undisturbed(settings: RunSettings, images: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return asyncio.run(first_day(tmp_path_factory.mktemp("undisturbed"), settings))


async def first_day(directory: Path, settings: RunSettings) -> Outcome:
    """One run without a disturbance; then the stack is started again, and again from its volumes alone."""
    async with compose_stack(directory, f"spiral-e2e-a-{os.getpid()}", SPIRAL_TAG=TAG, SPIRAL_RUN_ARGS=options(settings)) as stack:
        outcome = await turn(stack, [])
        await shown_by_the_job(stack, outcome, num_lives=1)
        (report,) = (stack.directory / "reports").glob("*/report.json")
        assert report.parent.name == check_run(settings, None).run_id, "the stack ran something else than `spiral run` would here"
        told = json.loads(report.read_text())
        assert told["run"]["state"] == "finished"
        assert told["champion"]["model_id"] == outcome.finished.champion.model_id
        assert (report.parent / "report.html").stat().st_uid == int(stack.values()["SPIRAL_UID"])
        healths = {one["Service"]: one["Health"] for one in await stack.containers()}
        assert healths == dict.fromkeys([*ROOMS, "nats", "minio"], "healthy")

        await stack.compose("up", "--detach")
        await shown_by_the_job(stack, outcome, num_lives=2)
        assert complaints(await again(stack), outcome, settings) == []

        await stack.compose("down")
        assert await stack.containers(with_stopped=True) == []
        await stack.compose("up", "--detach")
        await shown_by_the_job(stack, outcome, num_lives=1)
        assert complaints(await again(stack), outcome, settings) == []
        return outcome


def options(settings: RunSettings) -> str:
    """What `docker compose up` passes to `spiral run`."""
    return " ".join(as_options(settings))


def test_docker_compose_up_runs_to_the_report_and_never_starts_over(undisturbed: Outcome, settings: RunSettings) -> None:
    assert complaints(undisturbed, undisturbed, settings) == []
    assert sorted(undisturbed.sealed) == list(range(1, NUM_ITERATIONS + 1))
    assert all(undisturbed.sealed.values())


def test_rooms_rebuilt_one_by_one_and_stores_restarted_change_nothing(undisturbed: Outcome, settings: RunSettings, tmp_path: Path) -> None:
    disturbances = [
        doubled("generators-rendered", "quality"),
        *(rebuilt(room) for room in ROOMS),
        restarted("nats"),
        restarted("minio"),
    ]

    async def second_day() -> Outcome:
        name = f"spiral-e2e-b-{os.getpid()}"
        async with compose_stack(tmp_path, name, SPIRAL_TAG=f"{TAG}-b", SPIRAL_RUN_ARGS=options(settings)) as stack:
            await stack.compose("build", timeout_s=900)
            return await turn(stack, disturbances, undisturbed=undisturbed)

    outcome = asyncio.run(second_day())
    assert complaints(outcome, undisturbed, settings) == []


async def turn(stack: ComposeStack, disturbances: Sequence[Disturbance], *, undisturbed: Outcome | None = None) -> Outcome:
    """`docker compose up`, and what stands once the run has ended; the disturbances are spread over the time of the undisturbed run."""
    await stack.compose("up", "--detach", timeout_s=600)
    async with open_session(stack.target(), start_timeout_s=60) as session:
        spec = await the_run(session)
        done: list[str] = []
        moments_s: list[float] = []
        news = asyncio.Condition()
        started = time.monotonic()

        async def disturb() -> None:
            for disturbance, num_events in zip(disturbances, due_after(len(disturbances), undisturbed), strict=True):
                async with news:
                    await news.wait_for(lambda num_events=num_events: len(moments_s) >= num_events)
                await disturbance.step(stack)
                done.append(disturbance.name)

        disturbing = asyncio.create_task(disturb())
        async with aclosing(follow(session.bus, spec.run_id)) as following:
            async for _, event, _ in following:
                if not isinstance(event, e.TrainingProgressed):
                    moments_s.append(time.monotonic() - started)
                    async with news:
                        news.notify_all()
                if disturbing.done():
                    disturbing.result()
                if isinstance(event, e.RunFinished):
                    break
        was_in_time = disturbing.done()
        await disturbing
        assert was_in_time, f"the run ended during or before the last of {done}: it shows too little"
        return await read_outcome(session, spec, done, moments_s)


def due_after(num: int, undisturbed: Outcome | None) -> list[int]:
    """For each of `num` disturbances, the number of events by then, at even steps over the first four fifths of the undisturbed run."""
    if undisturbed is None:
        return [0] * num
    return [sum(moment_s <= 0.8 * undisturbed.duration_s * step / num for moment_s in undisturbed.moments_s) for step in range(num)]


async def the_run(session: Session) -> RunSpec:
    """The one run, once the job has made it known."""
    async with asyncio.timeout(180):
        while not (specs := await session.runs.all()):  # noqa: ASYNC110 (the broker rings no bell)
            await asyncio.sleep(0.2)
    (spec,) = specs
    return spec


async def again(stack: ComposeStack) -> Outcome:
    """What stands in a stack that was started again."""
    async with open_session(stack.target(), start_timeout_s=60) as session:
        return await read_outcome(session, await the_run(session), [], [0.0])


async def shown_by_the_job(stack: ComposeStack, outcome: Outcome, *, num_lives: int) -> None:
    """Waits until the job has ended well, as often as it was started, each time with the champion in its last words."""
    async with asyncio.timeout(180):
        while True:
            jobs = [one for one in await stack.containers(with_stopped=True) if one["Service"] == "spiral"]
            words = await stack.compose("logs", "--no-log-prefix", "spiral")
            if jobs and jobs[0]["State"] == "exited" and words.count("report.html") >= num_lives:
                break
            await asyncio.sleep(1.0)
    assert jobs[0]["ExitCode"] == 0
    assert outcome.finished.champion.model_id in words
