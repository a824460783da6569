"""Replicas of quality that judge found images at the same moment: neither a picture nor a source gets in more often than it may."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageOps

from shared.bus import Bus
from shared.domain import Candidate, Lease, Recipe
from shared.domain import RejectionReason as Reason
from shared.runs import BusRuns
from shared.settings import RoomSettings
from tests.examples import model
from tests.integration.quality_stage import QualityStage, quality_stage
from tests.integration.scripted_judges import ScriptedJudges, in_case
from tests.scripted_llm import ScriptedLlm, models_toml
from tests.unit.quality.suspects import NUMERIC, drawing, encoded, name

NUM_RUNS, NUM_PICTURES, NUM_LEASES, PER_DOMAIN = 6, 18, 8, 3
DOMAINS = [f"site{number}.test" for number in range(4)]
COPIES: tuple[Callable[[Image.Image], bytes], ...] = (
    encoded,
    lambda image: encoded(image, "JPEG", quality=70),
    lambda image: encoded(image.resize((200, 200)), "WEBP", quality=90),
    lambda image: encoded(image.crop((6, 6, 250, 250))),
    lambda image: encoded(ImageOps.mirror(image)),
)


@pytest.fixture
def judges() -> ScriptedJudges:
    return ScriptedJudges()


@pytest.fixture
async def stage(bus: Bus, settings: RoomSettings, tmp_path: Path, judges: ScriptedJudges) -> AsyncIterator[QualityStage]:
    with ScriptedLlm(judges) as server:
        file = tmp_path / "models.toml"
        file.write_text(models_toml(server.url, model="text"))
        async with quality_stage(bus, settings, tmp_path, models_file=file, max_in_flight=NUM_LEASES, max_deliver_retryable=60) as opened:
            yield opened


def a_lease(run_id: str, ordinal: int) -> Lease:
    """One of many of the same cell: at once, as the planner never has them, which is the worst that may come."""
    return Lease(
        f"{run_id}.1.{NUMERIC}.{ordinal}".replace("/", "."),
        NUMERIC,
        Recipe.TEACH,
        "agentic",
        ordinal,
        40,
        5,
        ordinal,
        0.5,
        256,
        model(run_id),
    )


def copy_of(number: int, asked_for: Lease, rng: Random) -> Candidate:
    """A picture as one lease stores it; each picture is of one domain."""
    return in_case(
        "sound",
        number,
        candidate_id=name(f"{asked_for.lease_id} {number}"),
        image=rng.choice(COPIES)(drawing(number, 256)),
        source={"domain": DOMAINS[number % len(DOMAINS)]},
    )


async def test_no_picture_and_no_source_gets_in_more_often_than_it_may(stage: QualityStage, judges: ScriptedJudges) -> None:
    rng, told = Random(11), Counter[Reason | None]()
    async with stage.rooms(2):
        for turn in range(NUM_RUNS):
            run_id = f"race-{turn}"
            quality = replace(stage.spec.quality, max_domain_share=PER_DOMAIN / 40, max_image_share=1.0)
            planning = replace(stage.spec.planning, num_samples=40)
            await BusRuns(stage.bus).create(replace(stage.spec, run_id=run_id, quality=quality, planning=planning))
            leases = [a_lease(run_id, ordinal) for ordinal in range(1, NUM_LEASES + 1)]
            shown = {each.lease_id: rng.sample(range(NUM_PICTURES), 9) for each in leases}
            made = {each.lease_id: [copy_of(number, each, rng) for number in shown[each.lease_id]] for each in leases}
            for candidates in made.values():
                judges.know(*candidates)
            await asyncio.gather(*(stage.generate(each, made[each.lease_id], run_id) for each in leases))
            reviews = await stage.reviewed(len(leases), run_id)
            assert len(await stage.entries(run_id)) == len(leases)
            accepted = [
                number
                for lease_id, review in reviews.items()
                for number, verdict in zip(shown[lease_id], review.verdicts, strict=True)
                if verdict.accepted
            ]
            assert len(set(accepted)) == len(accepted), "no two copies of one picture"
            domains = Counter(DOMAINS[number % len(DOMAINS)] for number in accepted)
            assert max(domains.values()) <= PER_DOMAIN, "no source supplies more than its share"
            told.update(verdict.reason for review in reviews.values() for verdict in review.verdicts)
    assert set(told) <= {None, Reason.NEAR_DUPLICATE, Reason.EXACT_DUPLICATE, Reason.OVER_REPRESENTED, Reason.OVER_QUOTA}
    assert told[None] >= 0.9 * NUM_RUNS * len(DOMAINS) * PER_DOMAIN, "and hardly less"
    assert told[Reason.NEAR_DUPLICATE] > 50 and told[Reason.OVER_REPRESENTED] > 20
