"""Quality as a room that judges: models from its file, a content hook, what-if reviews, and the whole way to a sealed dataset."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from spiral.v1 import quality_pb2, quality_pb2_grpc

from services.quality.service import build
from shared.bus import Bus
from shared.catalogue import Room
from shared.domain import RejectionReason as Reason
from shared.llm.spending import BUCKET as SPENDING
from shared.presence import present
from shared.rpc import open_channel
from shared.runtime import run
from shared.settings import RoomSettings
from shared.wire import to_wire
from tests.broker import free_port
from tests.integration.quality_stage import QualityStage, quality_stage
from tests.integration.scripted_judges import ScriptedJudges, in_case
from tests.rooms import until
from tests.screen_server import ScreenServer
from tests.scripted_llm import ScriptedLlm, models_toml
from tests.unit.quality.suspects import candidate, drawing, encoded, lease


@pytest.fixture
def judges() -> ScriptedJudges:
    return ScriptedJudges()


@pytest.fixture
async def stage(bus: Bus, settings: RoomSettings, tmp_path: Path, judges: ScriptedJudges) -> AsyncIterator[QualityStage]:
    with ScriptedLlm(judges) as server:
        file = tmp_path / "models.toml"
        file.write_text(models_toml(server.url, model="text"))
        hook = f"http://127.0.0.1:{free_port()}/screen"
        async with quality_stage(bus, settings, tmp_path, models_file=file, content_screen_url=hook, max_deliver_retryable=60) as opened:
            yield opened


def hook_of(stage: QualityStage) -> ScreenServer:
    """Refuses one picture."""
    port = int(stage.settings.content_screen_url.rpartition(":")[2].partition("/")[0])
    return ScreenServer(lambda image, _: ["nudity 0.97"] if image == encoded(drawing(3)) else [], port=port)


async def test_a_room_with_models_judges_what_no_scene_proves(stage: QualityStage, judges: ScriptedJudges) -> None:
    made = [in_case("sound", 1), in_case("disputed", 2), in_case("sound", 3), in_case("contradicted", 4), candidate(5)]
    judges.know(*made[:4])
    with hook_of(stage) as hook:
        hook.broken = (503, b"loading")
        async with stage.rooms(2):
            await stage.generate(lease(), made)
            await until(lambda: hook.num_asked >= 4)
            # Without the hook nobody can tell, and nothing is committed.
            assert not await stage.reviews() and not judges.asked
            hook.broken = None
            review = (await stage.reviewed(1))[lease().lease_id]
    assert [verdict.reason for verdict in review.verdicts] == [None, Reason.DISPUTED, Reason.UNSAFE, Reason.QUARANTINED, None]
    assert review.verdicts[2].detail == "nudity 0.97"
    assert {part.role: part.num_calls for part in review.spent} == {"categorize": 3, "text_only": 3, "verify": 6}
    assert await (await stage.bus.bucket(SPENDING)).keys() == ["r1"]


async def test_a_what_if_review_judges_alike_and_keeps_nothing(stage: QualityStage, judges: ScriptedJudges) -> None:
    made = [in_case("sound", 1), in_case("giveaway", 2), candidate(5)]
    judges.know(*made[:2])
    with hook_of(stage):
        async with stage.rooms():
            (address,) = [one.grpc_address for one in await present(stage.bus) if one.room == "quality"]
            request = quality_pb2.ReviewCandidatesRequest(run_id="r1", lease=to_wire(lease()))
            request.candidates.extend(to_wire(each) for each in made)
            async with open_channel(address) as channel:
                quality = quality_pb2_grpc.QualityServiceStub(channel)
                response = await quality.ReviewCandidates(request, timeout=30)
                assert [verdict.accepted for verdict in response.verdicts] == [True, False, True]
                assert not await stage.artifacts.names("runs/")
                assert await stage.entries() == []
                await stage.generate(lease(), made)
                review = (await stage.reviewed(1))[lease().lease_id]
                assert [verdict.accepted for verdict in review.verdicts] == [True, False, True]
                again = await quality.ReviewCandidates(request, timeout=30)
                assert [verdict.accepted for verdict in again.verdicts] == [True, False, True], "a lease is no copy of itself"
    assert len(judges.asked) == 4 + 1, "replies are kept: the lease itself pays for none of them again"


@pytest.mark.parametrize("file", ["[endpoints.x]\n", "[roles]\nverify = ['nobody']\n", "no toml", None])
async def test_a_wrong_models_file_ends_the_room_at_its_start(stage: QualityStage, tmp_path: Path, file: str | None) -> None:
    path = tmp_path / "wrong.toml"
    if file is not None:
        path.write_text(file)
    wrong = stage.settings.model_copy(update={"models_file": path})
    assert await asyncio.wait_for(run(Room.QUALITY, wrong, build, asyncio.Event()), 20) == 2
