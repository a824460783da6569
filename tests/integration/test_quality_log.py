"""One line of acceptance over replicas of quality on a real broker: at the same moment, over crashes, and over a lost bucket."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from services.quality.acceptance_log import BUCKET
from shared.bus import Bus
from shared.domain import Recipe
from shared.domain import RejectionReason as Reason
from shared.manifest import manifest_of
from shared.runs import BusRuns
from shared.settings import RoomSettings
from tests.integration.quality_stage import CELLS, QualityStage, a_lease, quality_stage
from tests.rooms import eventually, settled

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stage(bus: Bus, settings: RoomSettings, tmp_path: Path) -> AsyncIterator[QualityStage]:
    async with quality_stage(bus, settings, tmp_path, max_in_flight=6, max_deliver_retryable=40) as opened:
        yield opened


async def test_two_replicas_never_both_accept_copies_of_each_other(stage: QualityStage) -> None:
    rng, num_accepted = Random(5), 0
    async with stage.rooms(2):
        for number in range(8):
            run_id = f"race-{number}"
            await BusRuns(stage.bus).create(replace(stage.spec, run_id=run_id))
            leases = [a_lease(1, cell, recipe=rng.choice(list(Recipe)), run_id=run_id) for cell in CELLS]
            await asyncio.gather(*(stage.generate_dots(asked_for, rng.sample(range(25), 8), run_id) for asked_for in leases))
            reviews = await stage.reviewed(len(leases), run_id)
            assert stage.accepted_twice(reviews) == []
            assert len(await stage.entries(run_id)) == len(leases)
            num_accepted += sum(verdict.accepted for review in reviews.values() for verdict in review.verdicts)
            reasons = {verdict.reason for review in reviews.values() for verdict in review.verdicts}
            assert reasons <= {None, Reason.NEAR_DUPLICATE, Reason.EXACT_DUPLICATE, Reason.OVER_QUOTA}
    assert num_accepted > 8 * 20, "most pictures find a lease all the same"


async def test_replicas_that_are_killed_between_any_two_steps_end_the_same(stage: QualityStage) -> None:
    rng = Random(9)
    leases = [a_lease(1, cell, recipe=rng.choice(list(Recipe))) for cell in CELLS]
    for asked_for in leases:
        await stage.generate_dots(asked_for, rng.sample(range(25), 8))
    num_killed = 0
    while len(await stage.reviews()) < len(leases):
        processes = [replica(stage.settings, number) for number in range(2)]
        try:
            num_before = len(await stage.entries())

            async def has_gone_on(num_before: int = num_before, processes: list[subprocess.Popen[bytes]] = processes) -> bool:
                assert all(process.poll() is None for process in processes)
                return len(await stage.entries()) > num_before or len(await stage.reviews()) == len(leases)

            # A review has just been entered, and mostly not yet committed.
            await eventually(has_gone_on, 40)
        finally:
            for process in processes:
                process.kill()
                process.wait()
                num_killed += 1
    reviews = await stage.reviews()
    assert num_killed >= 4
    assert stage.accepted_twice(reviews) == []
    bucket = await stage.bus.bucket(BUCKET)
    entered = []
    for key in await stage.entries():
        entry = await bucket.get(key)
        assert entry is not None
        entered.append(manifest_of(entry.value, key))
    assert sorted(review.name for review in entered) == sorted(f"runs/r1/1/reviews/{lease.lease_id}" for lease in leases)
    for review in entered:
        ref = await stage.artifacts.find(review.name)
        assert ref is not None and await stage.artifacts.manifest(ref) == review
    async with stage.rooms(2):
        # What the dead had no time to say is said.
        await settled(stage.bus, 40)
    assert await stage.reviews() == reviews


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_bucket_that_is_lost_is_rebuilt_from_the_reviews(stage: QualityStage, is_restarted: bool) -> None:
    async with stage.rooms(1 if is_restarted else 2):
        for number, cell in enumerate(CELLS[:4]):
            await stage.generate_dots(a_lease(1, cell), range(number * 4, number * 4 + 4))
        await stage.reviewed(4)
        await settled(stage.bus)
        await stage.bus.js.delete_key_value(BUCKET)
        if not is_restarted:
            await stage.generate_dots(a_lease(2), [5, 9, 13, 30])
            found = await stage.reviewed(5)
    if is_restarted:
        await stage.generate_dots(a_lease(2), [5, 9, 13, 30])
        async with stage.rooms():
            found = await stage.reviewed(5)
    reasons = [verdict.reason for verdict in found[a_lease(2).lease_id].verdicts]
    assert reasons == [Reason.NEAR_DUPLICATE] * 3 + [None]
    assert len(await stage.entries()) == 5


def replica(settings: RoomSettings, number: int) -> "subprocess.Popen[bytes]":
    """A quality room as a process."""
    values = settings.model_dump(exclude_none=True, exclude={"instance_id", "bus_credentials"}) | {"instance_id": f"child-{number}"}
    environment = {f"SPIRAL_{name.upper()}": str(value) for name, value in values.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "services.quality"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen", **environment},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
