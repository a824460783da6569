"""Strangers' URLs: every odd spelling is refused with its reason, and the rest reads the same for everybody."""

import random
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generators.agentic.tools.addresses import network_of, refusal_of
from services.generators.agentic.tools.guarded_network import Guard
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from services.generators.agentic.tools.urls import CheckedUrl, check_url
from tests.unit.agentic_tools.spellings import HOSTS, PUBLIC, URLS

GUARD = Guard()
PORTS = frozenset({80, 443})


def reason_for(url: str, guard: Guard = GUARD) -> RefusalReason:
    with pytest.raises(Refused) as caught:
        guard.check_url(url)
    assert caught.value.detail
    return caught.value.reason


def test_the_corpus_is_large_and_has_no_doubles() -> None:
    assert len({host for host, _ in HOSTS}) == len(HOSTS) >= 150
    assert len({url for url, _ in URLS}) == len(URLS) >= 60


@pytest.mark.parametrize(("host", "reason"), HOSTS)
def test_odd_hosts_are_refused_with_their_reason(host: str, reason: RefusalReason) -> None:
    assert reason_for(f"http://{host}/a.png") is reason
    assert reason_for(f"https://{host}:443/a.png") is reason


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_odd_urls_are_refused_with_their_reason(url: str, reason: RefusalReason) -> None:
    assert reason_for(url) is reason


@pytest.mark.parametrize(("url", "spelling"), PUBLIC)
def test_urls_of_the_public_web_are_asked_in_one_spelling(url: str, spelling: str) -> None:
    checked = GUARD.check_url(url)
    assert checked.text == spelling
    assert GUARD.check_url(checked.text) == checked


def same_for_everybody(checked: CheckedUrl) -> bool:
    theirs, plain = httpx2.URL(checked.text), urlsplit(checked.text)
    ports = theirs.port or {"http": 80, "https": 443}[theirs.scheme]
    return (
        (theirs.scheme, theirs.raw_host.decode(), ports) == (checked.scheme, checked.host, checked.port)
        and plain.hostname == checked.host
        and not theirs.userinfo
    )


PIECES = st.sampled_from(
    [
        *("http://", "https:", "//", "/", "\\", "@", ":", "#", "?", "[", "]", "%", "%40", "%2f", ".", "..", "127.0.0.1", "example.com"),
        *("a", "80", "::1", "0x7f", "\t", " ", "\0", "。", "．", "ß", "é", "\u0301", "xn--a", "&", "=", "localhost", ";", "|", "^", "`"),
        *("{", "<", '"', "١", "🦊"),
    ]
)


@given(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=40)))
def test_whatever_passes_reads_the_same_for_every_parser(rest: str) -> None:
    for url in (rest, f"http://{rest}", f"http://example.com{rest}", f"https://example.com/{rest}"):
        try:
            checked = check_url(url, allowed_ports=PORTS)
        except Refused:
            continue
        assert same_for_everybody(checked), checked
        assert check_url(checked.text, allowed_ports=PORTS) == checked
        assert checked.text.isascii()


def test_ports_are_those_that_are_allowed() -> None:
    assert Guard(allowed_ports=frozenset({8080})).check_url("http://example.com:8080/").port == 8080
    assert reason_for("http://example.com/", Guard(allowed_ports=frozenset({8080}))) is RefusalReason.FORBIDDEN_PORT


def test_an_allowed_network_allows_its_addresses_and_no_others() -> None:
    guard = Guard(allowed_networks=(network_of("127.0.0.0/30"),))
    assert guard.check_url("http://127.0.0.1/").host == "127.0.0.1"
    assert reason_for("http://127.0.0.4/", guard) is RefusalReason.FORBIDDEN_ADDRESS
    assert reason_for("http://[::ffff:127.0.0.1]/", guard) is RefusalReason.FORBIDDEN_ADDRESS
    assert reason_for("http://localhost/", guard) is RefusalReason.LOCAL_NAME


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_address_passes_that_python_knows_to_be_special(address: object) -> None:
    checked = ip_address(str(address))
    if not refusal_of(checked):
        assert (checked.is_global and not checked.is_multicast and not checked.is_reserved) or "64:ff9b::" in str(checked)


def test_ordinary_public_addresses_pass() -> None:
    rng = random.Random(4)
    refused = sum(bool(refusal_of(ip_address(f"{rng.choice((8, 34, 52, 93, 151, 185))}.{rng.getrandbits(8)}.1.1"))) for _ in range(1000))
    assert refused == 0
    assert not refusal_of(ip_address("2606:4700:4700::1111"))
    assert not refusal_of(ip_address("2a00:1450:4001:82b::200e"))
