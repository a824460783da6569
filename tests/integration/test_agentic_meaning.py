"""Agents search a pool whose captions are embedded: what is meant is found though no word of it is written, and paid like any call."""

import json
from dataclasses import replace
from pathlib import Path

from services.generators.candidate_identity import candidates_name
from shared.bus import Bus
from shared.dead_letters import list_dead
from shared.domain import ImageCategory
from shared.llm.spending import read_spending
from shared.pool.batches import PREFIX
from shared.pool.vectors import commit_vectors
from shared.run_spec import RoleLimit, SpendingSpec
from shared.runs import BusRuns
from shared.settings import RoomSettings
from shared.tables import read_candidates
from tests.examples import run_spec
from tests.integration.test_agentic_room import generated, lease, living, objects, request, room
from tests.pool_images import Picture, draw_picture, fill_pool
from tests.rooms import eventually
from tests.scripted_llm import ChatRequest, Fault, ScriptedLlm, models_toml
from tests.scripted_llm.sighted import Sighted

QUERY = "steam locomotive"
MEANT = "iron horse"
FAR, NEAR = [0.0, 1.0, 0.0], [1.0, 0.0, 0.1]
NUM_CANDIDATES, NUM_SHOWN = 3, 4
"""Images that a lease asks for, and those shown for each; half of them come by the search."""


def pictures() -> list[Picture]:
    """Ninety maps; the captions of every fifth mean what is searched for, and share no word with it."""
    return [draw_picture(seed, ImageCategory.MAP, caption=f"{'plain sheet' if seed % 5 else MEANT} {seed}") for seed in range(90)]


def embedding(text: str) -> list[float]:
    return NEAR if text == QUERY or MEANT in text else FAR


def searching(asked: ChatRequest) -> str | Fault:
    said = Sighted()(asked)
    return json.dumps({**json.loads(str(said)), "pool_query": QUERY}) if asked.schema_name == "Blueprint" else said


async def embed_captions(settings: RoomSettings, directory: Path) -> None:
    async with objects(settings, directory) as artifacts:
        await fill_pool(artifacts, pictures())
        (batch,) = await artifacts.names(PREFIX)
        digests = {(await artifacts.put_bytes(picture.image)).sha256: embedding(picture.caption) for picture in pictures()}
        await commit_vectors(artifacts, batch, "embedder", digests)


def num_meant_of(llm: ScriptedLlm) -> list[int]:
    """For each choice among images, how many of those shown are meant."""
    return ["\n".join(asked.texts).count(MEANT) for asked in llm.requests if asked.schema_name == "Selection"]


async def test_what_is_meant_is_shown_and_the_search_is_paid_and_recorded(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    await embed_captions(settings, tmp_path)
    shown = {}
    models = tmp_path / "models.toml"
    with ScriptedLlm(searching, embedding=embedding) as llm:
        for number, embed in enumerate((None, "embedder"), 1):
            models.write_text(models_toml(llm.url, embed=embed, edit_image=None))
            llm.requests.clear()
            async with room(settings, models_file=models):
                await request(bus, lease(f"l{number}", NUM_CANDIDATES))
                event = (await generated(bus, 2 * number))[-1]
            shown[embed] = num_meant_of(llm)
        assert {asked.texts for asked in llm.embedding_requests} == {(QUERY,)}
        assert len(llm.embedding_requests) == 1, "one search of three alike is paid"
    assert len(shown[None]) == len(shown["embedder"]) == NUM_CANDIDATES
    assert min(shown["embedder"]) >= NUM_SHOWN // 2 > min(shown[None])
    assert sum(shown["embedder"]) > sum(shown[None]) + NUM_CANDIDATES

    assert event.num_candidates == NUM_CANDIDATES
    assert [spend.num_calls for spend in event.spent if spend.role == "embed"] == [1]
    assert sum(spend.num_calls for spend in await read_spending(await bus.bucket("spiral_spending"), "r1") if spend.role == "embed") == 1
    async with objects(settings, tmp_path) as artifacts:
        for candidate in read_candidates(await artifacts.read_bytes(event.candidates), "candidates"):
            assert [call["model"] for call in json.loads(candidate.provenance)["calls"] if call["role"] == "embed"] == ["embedder"]


async def test_vectors_that_do_not_fit_fail_candidates_and_not_the_lease(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(run_spec("r1"))
    await embed_captions(settings, tmp_path)
    models = tmp_path / "models.toml"
    with ScriptedLlm(searching, embedding=lambda text: [1.0, 0.0]) as llm:
        models.write_text(models_toml(llm.url, embed="embedder", edit_image=None))
        async with room(settings, models_file=models):
            await eventually(lambda: living(bus))
            await request(bus, lease("l1", NUM_CANDIDATES))
            (event,) = await generated(bus, 2)
    assert event.num_candidates == 0
    assert await list_dead(bus) == []
    async with objects(settings, tmp_path) as artifacts:
        ref = await artifacts.find(candidates_name("r1", 1, "l1"))
        assert ref is not None
        failures = (await artifacts.manifest(ref)).metadata["failures"]
    assert [(failure["role"], failure["reason"], failure["count"]) for failure in failures] == [("embed", "rejected", NUM_CANDIDATES)]
    assert "embed it by the same model" in failures[0]["detail"]


async def test_a_search_is_not_made_beyond_the_budget(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    spending = SpendingSpec(role_limits=(RoleLimit("embed", max_calls=0),))
    await BusRuns(bus).create(replace(run_spec("r1"), spending=spending))
    await embed_captions(settings, tmp_path)
    models = tmp_path / "models.toml"
    with ScriptedLlm(searching, embedding=embedding) as llm:
        models.write_text(models_toml(llm.url, embed="embedder", edit_image=None))
        async with room(settings, models_file=models):
            await request(bus, lease("l1", NUM_CANDIDATES))
            (event,) = await generated(bus, 2)
        assert (event.num_candidates, llm.embedding_requests) == (0, [])
