"""Agents and quality side by side: what agents make is judged by other models, and what they get wrong is refused."""

import json
from pathlib import Path

import pytest

from shared.bus import Bus
from shared.domain import ImageCategory, LeaseTask, RejectionReason
from shared.settings import RoomSettings
from shared.tables import read_candidates
from tests.integration.quality_stage import quality_stage
from tests.integration.test_agentic_lists import is_true
from tests.integration.test_agentic_room import generated, lease, objects, request, room
from tests.pool_images import draw_pictures, fill_pool
from tests.scripted_llm import ChatRequest, ScriptedLlm, models_toml
from tests.scripted_llm.sighted import Sighted

PICTURES = draw_pictures(24, categories=(ImageCategory.MAP,))


@pytest.mark.parametrize("task", [None, LeaseTask.ANNOTATE])
@pytest.mark.parametrize("is_liar", [False, True], ids=["honest", "asker and its blind reader in league"])
async def test_true_candidates_are_accepted_and_false_ones_are_not(
    bus: Bus, settings: RoomSettings, tmp_path: Path, task: LeaseTask | None, is_liar: bool
) -> None:
    honest, liar = Sighted(), Sighted(errors={"NumericItem": 1.0})

    def script(asked: ChatRequest) -> str:
        if is_liar and asked.schema_name == "NumericItem":
            return liar(asked)
        if is_liar and asked.schema_name == "Solution":
            # It says two more than there are, as the asker does.
            answer = json.loads(honest(asked))
            return json.dumps({**answer, "answer": str(int(answer["answer"]) + 2)})
        return honest(asked)

    with ScriptedLlm(script) as llm:
        models = tmp_path / "models.toml"
        models.write_text(models_toml(llm.url, embed=None, edit_image=None))
        async with quality_stage(bus, settings, tmp_path, models_file=models) as stage, objects(settings, tmp_path) as artifacts:
            await fill_pool(stage.artifacts, PICTURES)
            async with stage.rooms(), room(settings, models_file=models):
                for number in (1, 2, 3):
                    await request(bus, lease(f"r1.1.map.numeric.{number}", num_candidates=4, ordinal=number, seed=number, task=task))
                reviews = await stage.reviewed(3)
                events = await generated(bus, 9)
                rows = [row for event in events for row in read_candidates(await artifacts.read_bytes(event.candidates), "candidates")]
    verdicts = [verdict for review in reviews.values() for verdict in review.verdicts]
    assert sorted(verdict.candidate_id for verdict in verdicts) == sorted(row.candidate_id for row in rows) and len(rows) == 12
    assert all(is_true(row) is not is_liar for row in rows)
    reasons = {verdict.reason for verdict in verdicts}
    if is_liar:
        assert reasons == {RejectionReason.QUARANTINED}
    else:
        # Each lease begins with images that those before it did not have.
        assert reasons == {None}
    assert {part.role for review in reviews.values() for part in review.spent} >= {"text_only", "categorize", "verify", "ask", "solve"}
