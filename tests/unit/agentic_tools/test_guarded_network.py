"""The guard over real sockets: what may not be asked is not connected to, and a checked address is the one that is connected to."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.generators.agentic.tools.addresses import network_of
from services.generators.agentic.tools.fetching import Fetcher, FetchLimits, open_fetcher
from services.generators.agentic.tools.guarded_network import Guard, GuardedBackend, open_guarded_client, resolve_by_system
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from tests.search_server import Answer, SearchServer, ServedImage
from tests.unit.agentic_tools.loopback import ALLOWED, ScriptedResolver, encoded, free_port, loopback_fetcher, picture
from tests.unit.agentic_tools.spellings import HOSTS, NAMES

LIMITS = FetchLimits(timeout_s=10)
PNG = encoded(picture())


@pytest.fixture
def server() -> Iterator[SearchServer]:
    with SearchServer(images=[ServedImage("a.png", PNG)]) as running:
        yield running


@pytest.fixture
def trap() -> Iterator[SearchServer]:
    """Another host of the loopback network: no guard here allows it."""
    with SearchServer(images=[ServedImage("a.png", PNG)], host="127.0.0.2") as running:
        yield running


async def reason_for(fetcher: Fetcher, url: str) -> RefusalReason:
    with pytest.raises(Refused) as caught:
        await fetcher.fetch(url, LIMITS)
    return caught.value.reason


async def test_no_spelling_of_the_corpus_connects_to_anything(server: SearchServer) -> None:
    names = ScriptedResolver({})
    async with open_fetcher(Guard(allowed_ports=frozenset({server.port})), resolve=names) as fetcher:
        for host, reason in HOSTS:
            assert await reason_for(fetcher, f"http://{host}:{server.port}/images/a.png") is reason, host
    assert server.num_connections == 0
    assert names.asked == []


@pytest.mark.parametrize("name", NAMES)
async def test_names_that_lead_inside_are_not_connected_to(name: str, server: SearchServer) -> None:
    names = ScriptedResolver({name: [NAMES[name]]})
    async with open_fetcher(Guard(allowed_ports=frozenset({server.port})), resolve=names) as fetcher:
        reason = await reason_for(fetcher, f"http://{name}:{server.port}/images/a.png")
    assert reason is RefusalReason.FORBIDDEN_ADDRESS
    assert server.num_connections == 0


async def test_the_same_server_is_reached_where_its_network_is_allowed(server: SearchServer) -> None:
    names = ScriptedResolver({"images.example": [["127.0.0.1"]]})
    async with loopback_fetcher(server.port, names=names) as fetcher:
        fetched = await fetcher.fetch(f"http://images.example:{server.port}/images/a.png", LIMITS)
    assert fetched.payload == PNG
    assert server.requests[0].headers["host"] == f"images.example:{server.port}"
    assert server.num_connections == 1


async def test_a_name_that_changes_its_mind_is_asked_once_and_taken_at_its_word(server: SearchServer, trap: SearchServer) -> None:
    rebinding = ScriptedResolver({"rebinding.example": [["127.0.0.1"], ["127.0.0.2"]]})
    async with loopback_fetcher(server.port, trap.port, names=rebinding) as fetcher:
        fetched = await fetcher.fetch(f"http://rebinding.example:{server.port}/images/a.png", LIMITS)
        assert fetched.payload == PNG
        assert rebinding.asked == ["rebinding.example"]
        with pytest.raises(Refused, match=r"127\.0\.0\.2 is loopback"):
            await fetcher.fetch(f"http://rebinding.example:{trap.port}/images/a.png", LIMITS)
    assert rebinding.asked == ["rebinding.example"] * 2
    assert trap.num_connections == 0


async def test_the_next_address_is_tried_where_one_does_not_answer(server: SearchServer) -> None:
    guard = Guard(allowed_networks=(network_of("127.0.0.0/29"),))
    backend = GuardedBackend(guard, resolve=ScriptedResolver({"two.example": [["127.0.0.5", "127.0.0.1"]]}))
    stream = await backend.connect_tcp("two.example", server.port, timeout=5)
    assert stream.get_extra_info("server_addr") == ("127.0.0.1", server.port)
    await stream.aclose()


async def test_where_no_address_answers_it_is_out_of_reach() -> None:
    port = free_port()
    names = ScriptedResolver({"away.example": [["127.0.0.1", "127.0.0.1"]], "empty.example": [[]]})
    async with loopback_fetcher(port, names=names) as fetcher:
        for host, reason in (
            ("away.example", RefusalReason.UNREACHABLE),
            ("nobody.example", RefusalReason.UNKNOWN_HOST),
            ("empty.example", RefusalReason.UNKNOWN_HOST),
        ):
            with pytest.raises(Refused) as caught:
                await fetcher.fetch(f"http://{host}:{port}/", LIMITS)
            assert caught.value.reason is reason


async def test_the_systems_resolver_gives_addresses() -> None:
    assert {"127.0.0.1", "::1"} & set(await resolve_by_system("localhost"))


async def test_a_socket_of_this_host_is_never_connected_to() -> None:
    with pytest.raises(Refused):
        await GuardedBackend(Guard()).connect_unix_socket("/var/run/docker.sock")


async def test_cookies_are_not_kept(server: SearchServer) -> None:
    url = server.serve("/cookie", Answer(body=PNG, headers=(("Set-Cookie", "id=1; Path=/"),)))
    async with loopback_fetcher(server.port) as fetcher:
        await fetcher.fetch(url, LIMITS)
        await fetcher.fetch(url, LIMITS)
    assert len(server.requests) == 2
    assert not any("cookie" in seen.headers or "authorization" in seen.headers for seen in server.requests)


_CHILD = """
import asyncio, sys
from services.generators.agentic.tools.addresses import network_of
from services.generators.agentic.tools.fetching import FetchLimits, open_fetcher
from services.generators.agentic.tools.guarded_network import Guard

async def main():
    guard = Guard(allowed_networks=(network_of("127.0.0.1/32"),), allowed_ports=frozenset({int(sys.argv[2])}))
    async with open_fetcher(guard) as fetcher:
        print(len((await fetcher.fetch(sys.argv[1], FetchLimits())).payload))

asyncio.run(main())
"""


def test_proxies_of_the_environment_are_not_used(server: SearchServer, trap: SearchServer) -> None:
    environment = {"PYTHONPATH": ".:proto/gen", "HTTP_PROXY": trap.url, "http_proxy": trap.url, "ALL_PROXY": trap.url, "NO_PROXY": ""}
    child = [sys.executable, "-c", _CHILD, server.image_url("a.png"), str(server.port)]
    done = subprocess.run(child, env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == str(len(PNG)), done.stderr
    assert trap.num_connections == 0


async def test_tls_names_the_host_and_not_the_address() -> None:
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                hello.append(connection.recv(4096))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        async with loopback_fetcher(port, names=ScriptedResolver({"images.example": [["127.0.0.1"]]})) as fetcher:
            with pytest.raises(Refused) as caught:
                await fetcher.fetch(f"https://images.example:{port}/a.png", LIMITS)
        thread.join(10)
    assert caught.value.reason is RefusalReason.UNREACHABLE
    assert b"images.example" in hello[0]
    assert b"127.0.0.1" not in hello[0]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of images.example, signed by itself; with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=images.example", "-addext", "subjectAltName=DNS:images.example"]
    subprocess.run(
        [*command, *names, "-keyout", str(path), "-out", str(tmp_path / "public.pem")], check=True, capture_output=True, timeout=60
    )
    path.write_bytes(path.read_bytes() + (tmp_path / "public.pem").read_bytes())
    return path


async def test_tls_believes_a_certificate_of_the_host_only(certificate: Path) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    believed = ssl.create_default_context(cafile=str(certificate))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG)
        await writer.drain()
        writer.close()

    names = ScriptedResolver({"images.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served) as server:
        port = server.sockets[0].getsockname()[1]
        guard = Guard(allowed_networks=(ALLOWED,), allowed_ports=frozenset({port}))
        async with open_fetcher(guard, resolve=names, ssl_context=believed) as fetcher:
            assert (await fetcher.fetch(f"https://images.example:{port}/a.png", LIMITS)).payload == PNG
            with pytest.raises(Refused, match=r"other\.example"):
                await fetcher.fetch(f"https://other.example:{port}/a.png", LIMITS)
        async with open_fetcher(guard, resolve=names) as fetcher:
            with pytest.raises(Refused, match="self-signed"):
                await fetcher.fetch(f"https://images.example:{port}/a.png", LIMITS)


async def test_the_client_itself_is_guarded_whoever_uses_it(server: SearchServer) -> None:
    async with open_guarded_client(Guard()) as client:
        for url in (server.image_url("a.png"), f"http://localhost:{server.port}/", f"http://2130706433:{server.port}/"):
            with pytest.raises(Refused):
                await client.get(url)
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get("file:///etc/passwd")
    assert server.num_connections == 0
