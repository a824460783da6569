"""One suite for every web search, over real HTTP: what it finds, and how it fails."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest

from services.generators.agentic.tools.search_exchange import domain_of
from services.generators.agentic.tools.searxng import SearxngSearch
from services.generators.agentic.tools.serper import SerperSearch
from services.generators.agentic.tools.web_search import InvalidSearchReply, SearchBusy, WebSearch
from shared.errors import BadConfiguration, Retryable
from tests.search_server import API_KEY, Answer, SearchServer, ServedImage
from tests.unit.agentic_tools.loopback import free_port

IMAGES = [
    ServedImage(
        f"{index}.png",
        b"",
        title=f"red fox {index}",
        page_url=f"https://www.foxes{index}.example.co.uk/{index}",
        width_px=640,
        height_px=480,
    )
    for index in range(25)
]
OTHER = ServedImage("cat.png", b"", title="A black cat", page_url="https://cats.example/1")


@pytest.fixture
def server() -> Iterator[SearchServer]:
    with SearchServer(images=[*IMAGES, OTHER]) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as opened:
        yield opened


@dataclass
class Adapter:
    make: Callable[..., WebSearch]
    name: str


def serper(client: httpx2.AsyncClient, url: str, timeout_s: float = 10) -> WebSearch:
    return SerperSearch(client, api_key=API_KEY, url=url, timeout_s=timeout_s)


def searxng(client: httpx2.AsyncClient, url: str, timeout_s: float = 10) -> WebSearch:
    return SearxngSearch(client, url=url, timeout_s=timeout_s)


@pytest.fixture(params=[Adapter(serper, "serper"), Adapter(searxng, "searxng")], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return request.param


@pytest.fixture
def search(adapter: Adapter, client: httpx2.AsyncClient, server: SearchServer) -> WebSearch:
    return adapter.make(client, server.url)


async def test_what_is_found_says_where_it_is(search: WebSearch, server: SearchServer, adapter: Adapter) -> None:
    first, *rest = await search.search("red fox", limit=3)
    assert search.name == adapter.name
    assert (first.url, first.page_url) == (server.image_url("0.png"), "https://www.foxes0.example.co.uk/0")
    assert (first.domain, first.title) == ("example.co.uk", "red fox 0")
    assert (first.width_px, first.height_px, first.licence) == (640, 480, "")
    assert [image.title for image in rest] == ["red fox 1", "red fox 2"]


async def test_nothing_found_is_an_empty_list(search: WebSearch) -> None:
    assert list(await search.search("zebra", limit=5)) == []


@pytest.mark.parametrize("limit", [1, 10, 17, 25, 60])
async def test_pages_are_turned_until_there_are_enough_or_no_more(search: WebSearch, limit: int) -> None:
    found = await search.search("red fox", limit=limit)
    assert [image.title for image in found] == [f"red fox {index}" for index in range(min(limit, 25))]


async def test_what_comes_twice_is_found_once(search: WebSearch, server: SearchServer) -> None:
    server.find = lambda query, images: [images[index % 3] for index in range(40)]
    assert len(await search.search("red fox", limit=30)) == 3
    assert len(server.searches) <= 2


async def test_the_question_is_told_as_it_is(search: WebSearch, server: SearchServer) -> None:
    question = 'fox & "hound" ?q=x#y 狐 %00'
    await search.search(question, limit=1)
    assert server.searches[0].question["q"] == question


async def test_a_pause_that_is_asked_for_is_told(search: WebSearch, server: SearchServer) -> None:
    for status, headers, pause in (
        (429, (("Retry-After", "17"),), 17.0),
        (503, (("Retry-After", "3"),), 3.0),
        (429, (), None),
        (429, (("Retry-After", "soon"),), None),
        (429, (("Retry-After", "Sat, 01 Aug 2026 00:01:30 GMT"), ("Date", "Sat, 01 Aug 2026 00:00:00 GMT")), 90.0),
        (429, (("Retry-After", "Fri, 31 Jul 2026 00:00:00 GMT"), ("Date", "Sat, 01 Aug 2026 00:00:00 GMT")), 0.0),
        (429, (("Retry-After", "Sat, 01 Aug 2026 00:01:30 GMT"),), None),
    ):
        server.fail_searches(Answer(status, headers=headers))
        with pytest.raises(SearchBusy) as caught:
            await search.search("red fox", limit=1)
        assert caught.value.retry_after_s == pause


@pytest.mark.parametrize("answer", [Answer(500, b"oops"), Answer(502), Answer(503), Answer(is_dropped=True)])
async def test_failures_on_its_side_may_be_asked_again(search: WebSearch, server: SearchServer, answer: Answer) -> None:
    server.fail_searches(answer)
    with pytest.raises(Retryable) as caught:
        await search.search("red fox", limit=1)
    assert not isinstance(caught.value, SearchBusy)
    assert await search.search("red fox", limit=1)


async def test_a_search_that_is_away_may_be_asked_again(adapter: Adapter, client: httpx2.AsyncClient) -> None:
    with pytest.raises(Retryable, match="can't be reached"):
        await adapter.make(client, f"http://127.0.0.1:{free_port()}").search("red fox", limit=1)


@pytest.mark.parametrize("answer", [Answer(is_hanging=True), Answer(body=b" " * 1000, is_dripping=True)], ids=["hang", "drip"])
async def test_time_is_for_the_whole_exchange(adapter: Adapter, client: httpx2.AsyncClient, server: SearchServer, answer: Answer) -> None:
    server.fail_searches(answer)
    began = time.monotonic()
    with pytest.raises(Retryable, match="within"):
        await adapter.make(client, server.url, 0.4).search("red fox", limit=1)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_caller_is_told_what_to_do(search: WebSearch, server: SearchServer, status: int) -> None:
    server.fail_searches(Answer(status))
    with pytest.raises(BadConfiguration, match=r"check the API key|settings\.yml"):
        await search.search("red fox", limit=1)


@pytest.mark.parametrize("url", ["google.serper.dev", "ftp://host", "http://", "http://[::1", "http://host:99999", "http://host/?q=1"])
async def test_an_address_that_is_none_is_told_at_the_start(client: httpx2.AsyncClient, adapter: Adapter, url: str) -> None:
    with pytest.raises(BadConfiguration, match=f"the address of {adapter.name} in SPIRAL_SEARCH_URL must look like"):
        adapter.make(client, url)


async def test_a_wrong_address_is_a_wrong_setting(adapter: Adapter, client: httpx2.AsyncClient, server: SearchServer) -> None:
    with pytest.raises(BadConfiguration, match="check its address"):
        await adapter.make(client, server.url + "/elsewhere").search("red fox", limit=1)


async def test_redirects_are_not_followed_with_the_key(search: WebSearch, server: SearchServer) -> None:
    server.fail_searches(Answer(302, headers=(("Location", server.url + "/images/0.png"),)))
    with pytest.raises(BadConfiguration):
        await search.search("red fox", limit=1)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html>",
        b"null",
        b"[]",
        b"{}",
        b'{"images": 3, "results": 3}',
        b'{"images": [{"imageUrl": 3}], "results": [{"img_src": 3}]}',
        b'{"images": ["x"], "results": ["x"]}',
        b'{"images": [{"imageUrl": "http://example.com/a.png"',
        b"\xff\xfe{}",
        b'{"images": ' + b"[" * 100_000,
    ],
    ids=range(11),
)
async def test_an_answer_that_is_no_list_of_images_is_a_failure_of_its_own(search: WebSearch, server: SearchServer, body: bytes) -> None:
    server.fail_searches(Answer(body=body))
    with pytest.raises(InvalidSearchReply, match=search.name):
        await search.search("red fox", limit=1)


async def test_an_answer_that_does_not_end_is_not_read_to_its_end(search: WebSearch, server: SearchServer) -> None:
    server.fail_searches(Answer(body=b'{"images": [], "results": []' + b" " * 5_000_000 + b"}"))
    with pytest.raises(InvalidSearchReply, match="bytes"):
        await search.search("red fox", limit=1)


async def test_a_refused_question_is_a_failure_of_its_own(search: WebSearch, server: SearchServer) -> None:
    server.fail_searches(Answer(400, b'{"message": "Query not allowed"}'))
    with pytest.raises(InvalidSearchReply, match="Query not allowed"):
        await search.search("red fox", limit=1)


async def test_images_without_an_address_are_left_out(search: WebSearch, server: SearchServer) -> None:
    images = b'"images": [{"imageUrl": ""}, {"imageUrl": "https://a.example/1.png"}]'
    results = b'"results": [{"img_src": null}, {"img_src": "//a.example/1.png"}]'
    server.fail_searches(Answer(body=b"{%b, %b}" % (images, results)))
    (image,) = await search.search("red fox", limit=1)
    assert image.url == "https://a.example/1.png"
    assert (image.page_url, image.domain, image.title, image.width_px) == ("", "a.example", "", 0)


async def test_serper_is_asked_with_the_key_and_says_when_it_is_wrong(client: httpx2.AsyncClient, server: SearchServer) -> None:
    await SerperSearch(client, api_key=f" {API_KEY}\n", url=server.url).search("red fox", limit=1)
    assert server.searches[0].headers["x-api-key"] == API_KEY
    with pytest.raises(BadConfiguration) as caught:
        await SerperSearch(client, api_key="another-key", url=server.url).search("red fox", limit=1)
    assert "another-key" not in str(caught.value)
    for key in ("", " ", "clé", "a-secret\nof-two-lines", "a-secret and-more"):
        with pytest.raises(BadConfiguration) as refused:
            SerperSearch(client, api_key=key)
        assert "a-secret" not in str(refused.value)


async def test_serper_without_credits_is_for_the_operator(client: httpx2.AsyncClient, server: SearchServer) -> None:
    server.fail_searches(Answer(400, b'{"message":"Not enough credits","statusCode":400}'))
    with pytest.raises(BadConfiguration, match="credits"):
        await SerperSearch(client, api_key=API_KEY, url=server.url).search("red fox", limit=1)


async def test_serper_states_a_licence_only_where_it_searched_by_it(client: httpx2.AsyncClient, server: SearchServer) -> None:
    (image,) = await SerperSearch(client, api_key=API_KEY, url=server.url, creative_commons_only=True).search("red fox", limit=1)
    assert image.licence.startswith("Creative Commons")
    assert server.searches[0].question["tbs"] == "il:cl"


async def test_searxng_states_licences_of_results_and_of_engines(client: httpx2.AsyncClient, server: SearchServer) -> None:
    server.images = [ServedImage("a.png", b"", title="red fox", licence="CC0 1.0"), ServedImage("b.png", b"", title="red fox")]
    plain = await SearxngSearch(client, url=server.url).search("red fox", limit=2)
    assert [image.licence for image in plain] == ["CC0 1.0", ""]
    stated = await SearxngSearch(client, url=server.url, engine_licences={"engine of the test": "CC BY"}).search("red fox", limit=2)
    assert [image.licence for image in stated] == ["CC0 1.0", "CC BY"]


async def test_searxng_whose_engines_are_all_away_has_not_found_nothing(client: httpx2.AsyncClient, server: SearchServer) -> None:
    server.fail_searches(Answer(body=b'{"results": [], "unresponsive_engines": [["bing images", "timeout"]]}'))
    with pytest.raises(Retryable, match="bing images: timeout"):
        await SearxngSearch(client, url=server.url).search("red fox", limit=2)


def test_searxng_needs_an_address() -> None:
    for url in ("", "searx.example", "ftp://searx.example"):
        with pytest.raises(BadConfiguration):
            SearxngSearch(httpx2.AsyncClient(trust_env=False), url=url)


def test_the_domain_is_that_of_the_first_url_that_has_one() -> None:
    assert domain_of("", "https://img.cdn.example.com/a.png") == "example.com"
    assert domain_of("http://[", "not a url") == ""
