"""Images of the web: searched once, fetched through the guard, kept with source and licence, and no site too often."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from services.generators.agentic.tools.searxng import SearxngSearch
from services.generators.agentic.web_finder import WebFinder
from services.generators.agentic.workshop import craft_list, rules_of
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.domain import ImageCategory
from shared.errors import Retryable
from shared.run_spec import QualitySpec
from shared.settings import RoomSettings
from tests.agentic_stage import assignments, stage
from tests.integration.test_agentic_lists import failures, is_true, remade
from tests.pool_images import draw_picture, draw_pictures
from tests.scripted_llm.sight import look
from tests.search_server import Answer, SearchServer, ServedImage
from tests.unit.agentic_tools.loopback import loopback_fetcher

NATURE = ImageCategory.NATURAL_SCENE
RULES = rules_of(QualitySpec(max_domain_share=0.5), 4)


def with_metadata(image: bytes) -> bytes:
    """The same picture as a JPEG with a camera's notes."""
    exif, sink = Image.Exif(), io.BytesIO()
    exif[0x010E] = "a secret place"
    with Image.open(io.BytesIO(image)) as opened:
        opened.convert("RGB").save(sink, format="JPEG", quality=95, exif=exif, comment=b"a secret place")
    return sink.getvalue()


def on_the_web(num: int, *, num_sites: int = 40, licence: str = "CC BY 4.0", category: ImageCategory = NATURE) -> list[ServedImage]:
    pictures = [draw_picture(900 + number, category, side_px=384) for number in range(num)]
    return [
        ServedImage(
            name=f"{picture.seed}.png",
            payload=with_metadata(picture.image),
            title=f"a natural scene picture {picture.seed}",
            page_url=f"https://www.site{number % num_sites}.com/{picture.seed}",
            licence=licence,
        )
        for number, picture in enumerate(pictures)
    ]


@pytest.fixture
def server() -> Iterator[SearchServer]:
    with SearchServer(images=on_the_web(24), find=lambda query, images: images) as running:
        yield running


async def finder(opened: AsyncExitStack, server: SearchServer) -> Callable[[Artifacts], WebFinder]:
    client = await opened.enter_async_context(httpx2.AsyncClient())
    fetcher = await opened.enter_async_context(loopback_fetcher(server.port))
    return lambda artifacts: WebFinder(SearxngSearch(client, url=server.url), fetcher, artifacts)


async def test_where_the_pool_has_nothing_the_web_is_searched_once(
    bus: Bus, settings: RoomSettings, tmp_path: Path, server: SearchServer
) -> None:
    async with AsyncExitStack() as opened:
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, web=web) as on:
            batch = await craft_list(on.equipment, assignments(num=2), RULES)
            assert batch.crafted, batch.failures
            for crafted in batch.crafted:
                source = json.loads(crafted.candidate.provenance)["source"]
                assert (source["origin"], source["licence"]) == ("web", "CC BY 4.0")
                assert source["url"].startswith(server.url) and source["page_url"].startswith("https://www.site")
                assert source["domain"].startswith("site") and source["retrieved_at"]
                assert look(crafted.candidate.image).category is NATURE and is_true(crafted.candidate)
                assert await remade(on.artifacts, crafted.candidate) == crafted.candidate.image
                assert b"a secret place" not in crafted.candidate.image
                assert b"a secret place" not in await on.artifacts.read_bytes(next(iter(crafted.sources.values())))
            assert [seen.query["pageno"] for seen in server.searches] == ["1", "2"]
            num_searches, num_asked = len(server.requests), len(on.llm.requests)
            again = await craft_list(on.equipment, assignments(num=2), RULES)
            assert [one.candidate.candidate_id for one in again.crafted] == [one.candidate.candidate_id for one in batch.crafted]
            assert (len(server.requests), len(on.llm.requests)) == (num_searches, num_asked)


async def test_the_pool_has_its_turn_first(bus: Bus, settings: RoomSettings, tmp_path: Path, server: SearchServer) -> None:
    async with AsyncExitStack() as opened:
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, pictures=draw_pictures(6), web=web) as on:
            batch = await craft_list(on.equipment, assignments(num=4), RULES)
            assert {json.loads(crafted.candidate.provenance)["source"]["origin"] for crafted in batch.crafted} == {"pool"}
            assert server.requests == []


async def test_a_site_supplies_no_more_than_its_share(bus: Bus, settings: RoomSettings, tmp_path: Path, server: SearchServer) -> None:
    server.images = on_the_web(24, num_sites=1)
    async with AsyncExitStack() as opened:
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, web=web) as on:
            batch = await craft_list(on.equipment, assignments(num=4), RULES)
            assert len(batch.crafted) <= 2
            assert failures(batch)["select", "over_represented"] >= 2


async def test_images_without_a_licence_are_not_even_fetched(
    bus: Bus, settings: RoomSettings, tmp_path: Path, server: SearchServer
) -> None:
    server.images = on_the_web(6, licence="")
    async with AsyncExitStack() as opened:
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, web=web) as on:
            batch = await craft_list(on.equipment, assignments(num=2), RULES)
            assert failures(batch) == {("select", "no_image"): 2}
            assert not [seen for seen in server.requests if seen.path.startswith("/images/")]


async def test_a_search_that_is_away_costs_one_candidate_where_the_pool_was_looked_through_and_else_hands_the_lease_back(
    bus: Bus, settings: RoomSettings, tmp_path: Path, server: SearchServer
) -> None:
    async with AsyncExitStack() as opened:
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, web=web) as on:
            server.fail_searches(*[Answer(503)] * 2)
            with pytest.raises(Retryable):
                await craft_list(on.equipment, assignments(num=2), RULES)
            await craft_list(on.equipment, assignments(num=2), RULES)
        of_other_looks = draw_pictures(4, categories=(ImageCategory.MAP,), first_seed=50)
        async with stage(bus, settings, tmp_path, pictures=of_other_looks, is_labelled=False, web=web) as on:
            server.fail_searches(Answer(503))
            batch = await craft_list(on.equipment, assignments(num=1, seed=9), RULES)
            assert failures(batch) == {("select", "search_away"): 1}


async def test_a_search_that_refuses_us_is_a_failure_with_its_reason(
    bus: Bus, settings: RoomSettings, tmp_path: Path, server: SearchServer
) -> None:
    server.fail_searches(Answer(403), Answer(200, b"<html>"))
    async with AsyncExitStack() as opened:
        web = await finder(opened, server)
        async with stage(bus, settings, tmp_path, web=web) as on:
            first = await craft_list(on.equipment, assignments(num=1), RULES)
            second = await craft_list(on.equipment, assignments(num=1), RULES)
    assert (failures(first), failures(second)) == ({("select", "search_refused"): 1}, {("select", "search_invalid"): 1})
