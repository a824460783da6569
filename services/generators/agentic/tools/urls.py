"""Reading a stranger's URL so that every reader of it agrees where it leads; one that could be read in two ways is refused."""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote

import idna

from services.generators.agentic.tools.addresses import Address
from services.generators.agentic.tools.refusals import RefusalReason, Refused

MAX_URL_CHARS = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}

_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<slashes>/*)(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_IPV4 = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_LOCAL_SUFFIXES = frozenset(
    {"localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "arpa", "onion", "invalid", "alt"}
)
_PATH_SAFE = "!$%&'()*+,-./:;=@_~"


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that can be read in one way only, and whose host is not local by name. Where its name leads is not checked here."""

    scheme: str
    host: str
    """A name in ASCII without a dot at its end, or an address without brackets."""
    port: int
    address: Address | None
    """Where the host is an address."""
    target: str
    """Path and query, in ASCII."""

    @property
    def text(self) -> str:
        """The URL in its one spelling; what stood behind a # is gone."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


def check_url(text: str, *, allowed_ports: frozenset[int]) -> CheckedUrl:
    """The URL in its one spelling.

    Raises:
        Refused: it is no URL of the public web, or can be read in two ways.
    """
    if not text or len(text) > MAX_URL_CHARS:
        raise Refused(RefusalReason.MALFORMED_URL, f"a URL has 1 to {MAX_URL_CHARS:,} characters, not {len(text):,}")
    strange = next((char for char in text if char.isspace() or char == "\\" or unicodedata.category(char)[0] == "C"), None)
    if strange is not None:
        raise Refused(RefusalReason.MALFORMED_URL, f"readers of URLs disagree about {strange!r}")
    parts = _SHAPE.fullmatch(text)
    if parts is None:
        raise Refused(RefusalReason.MALFORMED_URL, "no scheme")
    scheme = parts["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise Refused(RefusalReason.FORBIDDEN_SCHEME, f"{scheme}: only http and https")
    if len(parts["slashes"]) != 2 or not parts["authority"]:
        raise Refused(RefusalReason.MALFORMED_URL, f"{scheme}: two slashes and a host must follow")
    if "@" in parts["authority"]:
        raise Refused(RefusalReason.URL_CREDENTIALS, "a user or a password before the host")
    host_text, port = _host_and_port(parts["authority"], DEFAULT_PORTS[scheme])
    host, address = _host(host_text)
    if port not in allowed_ports:
        raise Refused(RefusalReason.FORBIDDEN_PORT, f"port {port} is not one of {', '.join(map(str, sorted(allowed_ports)))}")
    target = quote(parts["path"] or "/", safe=_PATH_SAFE) + quote(parts["query"] or "", safe=_PATH_SAFE + "?")
    return CheckedUrl(scheme, host, port, address, target)


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    end = authority.rfind("]") + 1
    host, colon, port = authority[end:].rpartition(":")
    if not colon:
        return authority, default
    host = authority[:end] + host
    if not port:
        return host, default
    if not (port.isascii() and port.isdigit()) or port.startswith("0") or int(port) > 65535:
        raise Refused(RefusalReason.MALFORMED_URL, f"{port!r} is no port")
    return host, int(port)


def _host(text: str) -> tuple[str, Address | None]:
    if text.startswith("["):
        return _bracketed(text)
    if unicodedata.normalize("NFKC", text).casefold() != text.casefold():
        raise Refused(RefusalReason.ODD_HOST, f"{text!r} reads as {unicodedata.normalize('NFKC', text)!r}")
    # U+3002 is a dot to those who know internationalised names; digits of other scripts are digits to some.
    if any(char == "\u3002" or (char.isdecimal() and not char.isascii()) for char in text):
        raise Refused(RefusalReason.ODD_HOST, f"{text!r} holds dots or digits of another script")
    try:
        name = text.lower() if text.isascii() else idna.encode(text.lower()).decode("ascii")
    except idna.IDNAError as error:
        raise Refused(RefusalReason.ODD_HOST, f"{text!r} is no name: {error}") from error
    name = name.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _dotted(name)
    if len(name) > 253 or labels[-1][:1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise Refused(RefusalReason.ODD_HOST, f"{text!r} is no host name")
    if len(labels) == 1 or labels[-1] in _LOCAL_SUFFIXES:
        raise Refused(RefusalReason.LOCAL_NAME, f"{name} is a name of a local network")
    return name, None


def _bracketed(text: str) -> tuple[str, Address]:
    inside = text[1:-1]
    if not text.endswith("]") or "%" in inside:
        raise Refused(RefusalReason.ODD_HOST, f"{text!r} is no IPv6 address of the internet")
    try:
        address = IPv6Address(inside)
    except AddressValueError as error:
        raise Refused(RefusalReason.ODD_HOST, f"{text!r} is no IPv6 address") from error
    return str(address), address


def _dotted(name: str) -> tuple[str, Address]:
    """An IPv4 address in its usual spelling. Libraries read others too, each in its own way."""
    if not _IPV4.fullmatch(name):
        raise Refused(RefusalReason.ODD_HOST, f"{name!r} is a number in no usual spelling of an address")
    try:
        return name, IPv4Address(name)
    except AddressValueError as error:
        raise Refused(RefusalReason.ODD_HOST, f"{name!r} is no IPv4 address") from error
