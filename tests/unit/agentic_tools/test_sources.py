"""Who stands behind a source, and how much of a list may come from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generators.agentic.tools.domains import registrable_domain
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from services.generators.agentic.tools.source_caps import SourceCaps, SourceMark, caps_of, check_caps

CAPS = SourceCaps(max_per_domain=2, max_per_cluster=1, max_hamming=4)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.com", "example.com"),
        ("WWW.Example.COM.", "example.com"),
        ("a.b.c.example.org", "example.org"),
        ("www.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("img.news.com.au", "news.com.au"),
        ("www.heise.de", "heise.de"),
        ("co.example.de", "example.de"),
        ("abc.go.com", "go.com"),
        ("someone.github.io", "github.io"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("", ""),
    ],
)
def test_registrable_domains(host: str, domain: str) -> None:
    assert registrable_domain(host) == domain


def reason(mark: SourceMark, *taken: SourceMark) -> RefusalReason | None:
    try:
        check_caps(mark, taken, CAPS)
    except Refused as refused:
        return refused.reason
    return None


def test_one_domain_gives_no_more_than_its_cap() -> None:
    taken = [SourceMark("a.example", 0xFF << (8 * index)) for index in range(2)]
    assert reason(SourceMark("a.example", 0xFF << 32), *taken) is RefusalReason.DOMAIN_CAP
    assert reason(SourceMark("b.example", 0xFF << 32), *taken) is None
    assert reason(SourceMark("a.example", 0xFF << 32), taken[0]) is None


def test_sources_without_a_domain_are_not_one_domain() -> None:
    assert reason(SourceMark("", 0xFF), *(SourceMark("", 0xFF << 8 * shift) for shift in range(1, 7))) is None


def test_one_cluster_gives_no_more_than_its_cap() -> None:
    assert reason(SourceMark("a.example", 0b1111), SourceMark("b.example", 0)) is RefusalReason.CLUSTER_CAP
    assert reason(SourceMark("a.example", 0b11111), SourceMark("b.example", 0)) is None


def test_caps_follow_from_shares_and_always_allow_one() -> None:
    assert caps_of(8, max_domain_share=0.25, max_image_share=0.1) == SourceCaps(2, 1)
    assert caps_of(1, max_domain_share=0.01, max_image_share=0.01) == SourceCaps(1, 1)
    assert caps_of(100, max_domain_share=0.05, max_image_share=0.02, max_hamming=6) == SourceCaps(5, 2, 6)


@given(st.lists(st.builds(SourceMark, st.sampled_from(["a", "b", ""]), st.integers(0, 255)), max_size=40))
def test_a_list_that_was_taken_one_by_one_never_exceeds_its_caps(offered: list[SourceMark]) -> None:
    taken: list[SourceMark] = []
    for mark in offered:
        if reason(mark, *taken) is None:
            taken.append(mark)
    for domain in ("a", "b"):
        assert sum(mark.domain == domain for mark in taken) <= CAPS.max_per_domain
    for mark in taken:
        assert sum((mark.perceptual_hash ^ one.perceptual_hash).bit_count() <= CAPS.max_hamming for one in taken) <= CAPS.max_per_cluster
