"""The way out to strangers' hosts: a name is resolved once, every address that came is checked, and a checked address is connected to.

Between check and connection nothing is resolved again, so a name that changes its mind meanwhile (DNS rebinding) changes nothing. TLS still
asks for the certificate of the name. Redirects are not followed here: each is a URL to be checked from the start, see `downloads`.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from socket import SOCK_STREAM

import httpcore2
import httpx2

from services.generators.agentic.tools.addresses import Address, Network, refusal_of
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from services.generators.agentic.tools.urls import DEFAULT_PORTS, CheckedUrl, check_url

_MAX_CONNECTIONS = 64
_MAX_ADDRESSES = 8
_KEEP_ALIVE_S = 5.0
_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host name, in the order in which to try them. Raises OSError where it has none."""


async def resolve_by_system(host: str) -> Sequence[str]:
    """What the operating system's resolver says, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Guard:
    """Which URLs and addresses may be asked; by default those of the public web alone."""

    allowed_networks: tuple[Network, ...] = ()
    """Networks that may be asked although they are not public: an operator's own image server, or a test's."""
    allowed_ports: frozenset[int] = frozenset(DEFAULT_PORTS.values())

    def check_url(self, text: str) -> CheckedUrl:
        """The URL in its one spelling; a host that is an address is checked too.

        Raises:
            Refused: it may not be asked.
        """
        url = check_url(text, allowed_ports=self.allowed_ports)
        if url.address is not None:
            self.check_address(url.address)
        return url

    def check_address(self, address: Address) -> None:
        """Raises Refused where an address may not be connected to."""
        refusal = refusal_of(address, allowed=self.allowed_networks)
        if refusal:
            raise Refused(RefusalReason.FORBIDDEN_ADDRESS, refusal)


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """TCP connections to checked addresses only; a name one of whose addresses is refused is refused altogether."""

    def __init__(self, guard: Guard, *, resolve: Resolve = resolve_by_system) -> None:
        self._guard = guard
        self._resolve = resolve
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first checked address that answers; `timeout` (s) is for each attempt.

        Raises:
            Refused: the name has no address, or one that may not be connected to; nothing was connected to.
            ConnectError, ConnectTimeout: none of the addresses answers.
        """
        addresses = await self._checked_addresses(host)
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return await self._plain.connect_tcp(str(address), port, timeout, local_address, socket_options)
        return await self._plain.connect_tcp(str(addresses[-1]), port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[_SocketOption] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Never: no stranger has business with this host's sockets."""
        raise Refused(RefusalReason.FORBIDDEN_ADDRESS, f"{path} is a socket of this host")

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._plain.sleep(seconds)

    async def _checked_addresses(self, host: str) -> list[Address]:
        try:
            found = [ip_address(text) for text in ([host] if _is_address(host) else await self._resolve(host))]
        except (OSError, UnicodeError) as error:
            raise Refused(RefusalReason.UNKNOWN_HOST, f"{host} has no address: {error}") from error
        if not found:
            raise Refused(RefusalReason.UNKNOWN_HOST, f"{host} has no address")
        for address in found:
            self._guard.check_address(address)
        return found[:_MAX_ADDRESSES]


class _Body(httpx2.AsyncByteStream):
    def __init__(self, parts: AsyncIterable[bytes], close: Callable[[], Awaitable[None]]) -> None:
        self._parts = parts
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors():
            async for part in self._parts:
                yield part

    async def aclose(self) -> None:
        await self._close()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """HTTP over guarded connections; knows no proxy. httpx2's own transport has no place for another network backend."""

    def __init__(self, backend: GuardedBackend, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or ssl.create_default_context(),
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request that has no body.

        Raises:
            Refused: the host may not be connected to.
            TransportError: it can't be reached, is too slow, or speaks no HTTP.
        """
        url = httpcore2.URL(scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path)
        asked = httpcore2.Request(request.method, url, headers=request.headers.raw, extensions=request.extensions)
        with _as_httpx_errors():
            response = await self._pool.handle_async_request(asked)
        if not isinstance(response.stream, AsyncIterable):
            raise TypeError(f"an asynchronous pool gave {type(response.stream).__name__}")
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Body(response.stream, response.aclose), extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._pool.aclose()


@contextlib.asynccontextmanager
async def open_guarded_client(
    guard: Guard, *, resolve: Resolve = resolve_by_system, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client for strangers' hosts: guarded, without redirects, cookies, proxies or credentials; closed at the end.

    Args:
        guard: what may be asked.
        resolve: asked once per connection.
        ssl_context: whose certificates are believed; the system's where None.
    """
    transport = GuardedTransport(GuardedBackend(guard, resolve=resolve), ssl_context=ssl_context)
    no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
    async with httpx2.AsyncClient(transport=transport, follow_redirects=False, trust_env=False, cookies=no_cookies) as client:
        yield client


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise httpx2.TimeoutException(str(error)) from error
    except httpcore2.NetworkError as error:
        raise httpx2.NetworkError(str(error)) from error
    except httpcore2.ProtocolError as error:
        raise httpx2.ProtocolError(str(error)) from error
    except httpcore2.UnsupportedProtocol as error:
        raise httpx2.UnsupportedProtocol(str(error)) from error
