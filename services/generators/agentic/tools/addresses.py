"""Which addresses a stranger's URL may lead to: those of the public internet, and no address that stands for another.

Written down here rather than left to `ipaddress.is_global`, whose answer changes with Python's patch level and lets multicast and relays
through. Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_FORBIDDEN_V4: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT, where clouds keep metadata too"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "a cloud's host agent"),
    ("169.254.0.0/16", "link-local, where clouds keep metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT relays"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
)
_FORBIDDEN_V6: tuple[tuple[str, str], ...] = (
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_V4_INSIDE = (IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("::/96"))
"""Mapped, translated and compatible: IPv4 in other clothes."""
_ISATAP = (0x00005EFE, 0x02005EFE)

_V4 = tuple((IPv4Network(network), name) for network, name in _FORBIDDEN_V4)
_V6 = tuple((IPv6Network(network), name) for network, name in _FORBIDDEN_V6)


def network_of(text: str) -> Network:
    """A network in prefix notation, say "127.0.0.0/8". Raises ValueError where it is none."""
    return ip_network(text)


def refusal_of(address: Address, *, allowed: Sequence[Network] = ()) -> str:
    """Why an address may not be connected to, in words; empty where it may.

    Args:
        address: as it came from the resolver or the URL.
        allowed: networks that may be connected to all the same; the address itself counts, not one that it wraps.
    """
    if any(address in network for network in allowed):
        return ""
    if isinstance(address, IPv4Address):
        name = next((name for network, name in _V4 if address in network), "")
        return f"{address} is {name}" if name else ""
    return _refusal_of_v6(address)


def _refusal_of_v6(address: IPv6Address) -> str:
    if address.scope_id is not None:
        return f"{address} names an interface of this host"
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    # Networks without IPv4 reach the public IPv4 internet this way: their resolvers make such addresses of ordinary ones.
    if address in _NAT64:
        inner = refusal_of(low)
        return f"{address} is NAT64 for {inner}" if inner else ""
    if any(address in network for network in _V4_INSIDE):
        return f"{address} wraps an IPv4 address, {low}"
    if address not in _GLOBAL_V6:
        return f"{address} is no global unicast address"
    name = next((name for network, name in _V6 if address in network), "")
    if not name and (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        name = f"an ISATAP tunnel to {low}"
    return f"{address} is {name}" if name else ""
