"""Fetching: caps on hops, bytes and time hold against servers that lie, drip, hang and hide."""

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence

import pytest

from services.generators.agentic.tools.fetching import Fetched, FetchLimits, open_fetcher
from services.generators.agentic.tools.guarded_network import Guard
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from tests.search_server import Answer, SearchServer, ServedImage
from tests.unit.agentic_tools.loopback import encoded, loopback_fetcher, picture

PNG = encoded(picture())
LIMITS = FetchLimits(max_bytes=400_000, timeout_s=10, max_redirects=5)


@pytest.fixture
def server() -> Iterator[SearchServer]:
    with SearchServer(images=[ServedImage("a.png", PNG)]) as running:
        yield running


@pytest.fixture
def trap() -> Iterator[SearchServer]:
    with SearchServer(images=[ServedImage("a.png", PNG)], host="127.0.0.2") as running:
        yield running


async def fetch(server: SearchServer, answer: Answer | str, limits: FetchLimits = LIMITS, *ports: int) -> Fetched:
    url = server.serve("/asked", answer) if isinstance(answer, Answer) else answer
    async with loopback_fetcher(server.port, *ports) as fetcher:
        return await fetcher.fetch(url, limits)


async def reason_for(server: SearchServer, answer: Answer | str, limits: FetchLimits = LIMITS, *ports: int) -> RefusalReason:
    with pytest.raises(Refused) as caught:
        await fetch(server, answer, limits, *ports)
    return caught.value.reason


def redirect(location: str, status: int = 302) -> Answer:
    return Answer(status, headers=(("Location", location),))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_to_where_they_lead(server: SearchServer, status: int) -> None:
    fetched = await fetch(server, redirect("/images/a.png?x=1", status))
    assert (fetched.payload, fetched.url.text) == (PNG, f"{server.url}/images/a.png?x=1")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.2:{port}/images/a.png", RefusalReason.FORBIDDEN_ADDRESS),
        ("//127.0.0.2:{port}/images/a.png", RefusalReason.FORBIDDEN_ADDRESS),
        ("http://[::1]:{port}/images/a.png", RefusalReason.FORBIDDEN_ADDRESS),
        ("http://[::ffff:127.0.0.2]:{port}/images/a.png", RefusalReason.FORBIDDEN_ADDRESS),
        ("http://2130706434:{port}/images/a.png", RefusalReason.ODD_HOST),
        ("http://0x7f.2:{port}/images/a.png", RefusalReason.ODD_HOST),
        ("http://localhost:{port}/images/a.png", RefusalReason.LOCAL_NAME),
        ("http://127.0.0.1:{port}\\@127.0.0.2:{port}/", RefusalReason.MALFORMED_URL),
        ("http://127.0.0.1@127.0.0.2:{port}/", RefusalReason.URL_CREDENTIALS),
        ("http://169.254.169.254:{port}/latest/meta-data/", RefusalReason.FORBIDDEN_ADDRESS),
        ("http://127.0.0.1:22/", RefusalReason.FORBIDDEN_PORT),
        ("file:///etc/passwd", RefusalReason.FORBIDDEN_SCHEME),
        ("data:image/png;base64,AAAA", RefusalReason.FORBIDDEN_SCHEME),
        ("http://[", RefusalReason.MALFORMED_URL),
        ("", RefusalReason.BAD_RESPONSE),
    ],
)
async def test_every_redirect_is_checked_from_the_start(
    server: SearchServer, trap: SearchServer, location: str, reason: RefusalReason
) -> None:
    assert await reason_for(server, redirect(location.format(port=trap.port)), LIMITS, trap.port) is reason
    assert trap.num_connections == 0


async def test_redirects_end(server: SearchServer) -> None:
    assert await reason_for(server, redirect("/asked")) is RefusalReason.TOO_MANY_REDIRECTS
    assert len(server.requests) == LIMITS.max_redirects + 1


@pytest.mark.parametrize("status", [204, 206, 304, 401, 403, 404, 410, 429, 500, 503])
async def test_other_statuses_are_no_images(server: SearchServer, status: int) -> None:
    assert await reason_for(server, Answer(status, PNG if status not in (204, 304) else b"")) is RefusalReason.BAD_STATUS


async def test_what_is_promised_too_large_is_not_read(server: SearchServer) -> None:
    began = time.monotonic()
    answer = Answer(body=PNG, claimed_bytes=LIMITS.max_bytes + 1, is_dripping=True)
    assert await reason_for(server, answer) is RefusalReason.TOO_LARGE
    assert time.monotonic() - began < 3


async def test_what_comes_too_large_is_cut_off(server: SearchServer) -> None:
    assert await reason_for(server, Answer(body=PNG + b"\0" * LIMITS.max_bytes, is_chunked=True)) is RefusalReason.TOO_LARGE


async def test_less_than_promised_is_no_response(server: SearchServer) -> None:
    assert await reason_for(server, Answer(body=PNG, claimed_bytes=len(PNG) + 100)) is RefusalReason.BAD_RESPONSE


async def test_more_than_promised_is_not_read(server: SearchServer) -> None:
    assert (await fetch(server, Answer(body=PNG + b"<script>", claimed_bytes=len(PNG)))).payload == PNG


@pytest.mark.parametrize(
    "answer",
    [Answer(body=PNG, is_dripping=True), Answer(is_hanging=True), Answer(302, headers=(("Location", "/asked"),), is_hanging=True)],
    ids=["drip", "hang", "hang on a redirect"],
)
async def test_time_is_for_the_whole_exchange(server: SearchServer, answer: Answer) -> None:
    began = time.monotonic()
    assert await reason_for(server, answer, FetchLimits(timeout_s=0.4)) is RefusalReason.TOO_SLOW
    assert time.monotonic() - began < 3


async def test_time_is_for_the_name_too(server: SearchServer) -> None:
    async def resolve_never(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return [host]

    began = time.monotonic()
    async with open_fetcher(Guard(allowed_ports=frozenset({server.port})), resolve=resolve_never) as fetcher:
        with pytest.raises(Refused) as caught:
            await fetcher.fetch(f"http://slow.example:{server.port}/", FetchLimits(timeout_s=0.3))
    assert caught.value.reason is RefusalReason.TOO_SLOW
    assert time.monotonic() - began < 3


async def test_a_dropped_connection_is_no_response(server: SearchServer) -> None:
    assert await reason_for(server, Answer(is_dropped=True)) in (RefusalReason.BAD_RESPONSE, RefusalReason.UNREACHABLE)


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZip", gzip.compress)])
async def test_packed_images_are_unpacked(server: SearchServer, name: str, pack: object) -> None:
    answer = Answer(body=pack(PNG), headers=(("Content-Encoding", name),))  # type: ignore[operator]
    assert (await fetch(server, answer)).payload == PNG


async def test_a_packed_bomb_is_stopped_at_the_cap(server: SearchServer) -> None:
    bomb = gzip.compress(PNG + b"\0" * 200_000_000)
    assert len(bomb) < LIMITS.max_bytes
    answer = Answer(body=bomb, headers=(("Content-Encoding", "gzip"),))
    tracemalloc.start()
    try:
        assert await reason_for(server, answer) is RefusalReason.TOO_LARGE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,gzip", "gzip, identity", "br", "zstd", "compress", "x"])
async def test_other_packings_are_refused(server: SearchServer, encoding: str) -> None:
    body = gzip.compress(gzip.compress(PNG)) if encoding.count("gzip") == 2 else gzip.compress(PNG) if "gzip" in encoding else PNG
    assert await reason_for(server, Answer(body=body, headers=(("Content-Encoding", encoding),))) is RefusalReason.BAD_RESPONSE


async def test_broken_packing_is_no_response(server: SearchServer) -> None:
    assert await reason_for(server, Answer(body=PNG, headers=(("Content-Encoding", "gzip"),))) is RefusalReason.BAD_RESPONSE


async def test_the_bytes_say_what_it_is_and_not_the_header(server: SearchServer) -> None:
    page = Answer(body=b"<!doctype html><p>not an image", headers=(("Content-Type", "image/png"),))
    assert await reason_for(server, page) is RefusalReason.UNDECODABLE
    assert (await fetch(server, Answer(body=PNG, headers=(("Content-Type", "text/html"),)))).payload == PNG


async def test_a_stream_that_is_no_image_is_left_at_once(server: SearchServer) -> None:
    began = time.monotonic()
    assert await reason_for(server, Answer(body=b"<!doctype html>" + b" " * 2000, is_dripping=True)) is RefusalReason.UNDECODABLE
    assert time.monotonic() - began < 3


async def test_what_is_told_of_us_is_little(server: SearchServer) -> None:
    await fetch(server, server.image_url("a.png"))
    headers = server.requests[0].headers
    assert set(headers) == {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert headers["accept-encoding"] == "identity"
