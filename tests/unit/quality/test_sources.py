"""Provenance, licences and shares: what a found image has to say, and how much of one source gets in."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.contract import check_quality
from services.quality.evidence import Evidence
from services.quality.provenance import Provenance, ProvenanceUnreadable, parse_provenance
from services.quality.sources import Representation, Shares, SourceMark, check_licence, shares_of
from shared.domain import RejectionReason as Reason
from shared.errors import Rejected
from shared.run_spec import QualitySpec
from tests.examples import run_spec
from tests.unit.quality.suspects import CAPS, JUDGED, candidate, found, known, name, provenance, reason_of


def test_provenance_names_source_and_asker() -> None:
    told = parse_provenance(provenance(source={"domain": "WWW.Pages.Test.", "licence": " CC  BY "}))
    assert (told.source.domain, told.source.licence, told.asker) == ("pages.test", "CC BY", "asker")
    assert told.is_asker("ASKER ") and not told.is_asker("solver")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "no provenance"),
        ("{", "provenance: "),
        ("[]", "provenance: "),
        ("{}", "source"),
        (provenance(source={"image_sha256": "AB"}), "source.image_sha256"),
        (provenance(source={"image_sha256": None}), "source.image_sha256"),
        (provenance(source={"licence": 7}), "source.licence"),
        (provenance(source={"origin": ""}), "source.origin"),
        (provenance(source={"domain": "a.test\n| b"}), "source.domain"),
        (provenance(source={"domain": ""}), "source: .*must name a domain"),
        (provenance(source={"domain": "."}), "must name a domain"),
        (provenance(source={"origin": "camera", "domain": ""}), "must name a domain"),
        (provenance(models={}), "models"),
        (provenance(models={"ask": " "}), "models"),
        (provenance(models=["ask"]), "models"),
        (provenance(edits=["x" * 400_001]), "characters"),
    ],
)
def test_malformed_provenance_of_a_found_image_is_refused_and_says_where(text: str, where: str) -> None:
    with pytest.raises(ProvenanceUnreadable, match=where):
        parse_provenance(text)
    assert reason_of(candidate(scene="", provenance=text), terms=JUDGED) is Reason.SCHEMA


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)))
def test_no_json_at_all_breaks_the_parser(told: Any) -> None:
    try:
        assert isinstance(parse_provenance(json.dumps(told)), Provenance)
    except ProvenanceUnreadable as error:
        assert str(error)


def test_a_drawn_candidate_needs_no_source() -> None:
    assert reason_of(candidate(1, provenance=""), terms=JUDGED) is None


@pytest.mark.parametrize(
    ("licence", "allowed", "is_fine"),
    [
        ("CC-BY-4.0", (), True),
        ("", (), False),
        ("", ("*",), False),
        ("cc-by-4.0", ("CC-BY-4.0",), True),
        ("CC-BY-4.0", ("CC-BY",), False),
        ("CC-BY-SA-4.0", ("MIT", "cc-by-*"), True),
        ("CC-BY-NC-4.0", ("cc-by-4*", "CC0*"), False),
        ("whatever", ("*",), True),
    ],
)
def test_licences_are_stated_and_allowed(licence: str, allowed: tuple[str, ...], is_fine: bool) -> None:
    refusal = check_licence(licence, allowed)
    assert (refusal is None) is is_fine
    made = found(1, {"licence": licence})
    assert reason_of(made, terms=replace(JUDGED, allowed_licences=allowed)) is (None if is_fine else Reason.LICENCE)


def test_who_may_judge_is_known_before_anything_is_paid() -> None:
    assert reason_of(found(1)) is Reason.UNVERIFIABLE
    assert reason_of(found(1), terms=replace(JUDGED, lacking="name a model for text_only")) is Reason.UNVERIFIABLE
    assert reason_of(found(1), terms=replace(JUDGED, solvers=("seer", "Asker"))) is Reason.UNVERIFIABLE
    assert reason_of(found(1), terms=replace(JUDGED, solvers=("seer", "asker", "reader"))) is None
    assert reason_of(found(1), terms=replace(JUDGED, num_solvers=3)) is Reason.UNVERIFIABLE
    assert reason_of(found(1, scene="{}"), terms=JUDGED) is Reason.UNVERIFIABLE, "an unreadable scene is not replaced by judges"
    assert reason_of(found(1), known(probes=(candidate(1),)), terms=JUDGED) is Reason.PROBE_LEAK
    assert reason_of(found(1), known(benchmarks=((candidate(2),), (candidate(1),))), terms=JUDGED) is Reason.BENCHMARK_LEAK


def mark(domain: str = "a.test", image: str = "one", bits: int = 0) -> SourceMark:
    return SourceMark(domain, name(image), bits)


def far(number: int) -> int:
    return int(name(f"hash {number}")[:16], 16)


def test_shares_are_whole_samples_and_at_least_one() -> None:
    spec = run_spec("r1")
    assert shares_of(spec) == Shares(per_domain=200, per_image=80)
    assert shares_of(replace(spec, planning=replace(spec.planning, num_samples=20))) == Shares(1, 1)
    assert (
        shares_of(replace(spec, planning=replace(spec.planning, num_samples=100), quality=QualitySpec(max_domain_share=0.29))).per_domain
        == 29
    )


def test_a_domain_and_an_image_have_their_share_and_no_more() -> None:
    shares = Shares(per_domain=3, per_image=2)
    represented = Representation([mark(image="one", bits=far(1)), mark(image="two", bits=far(2))])
    assert represented.check(mark(image="three", bits=far(3)), shares) is None
    beside = [mark(image="four", bits=far(4))]
    refusal = represented.check(mark(image="three", bits=far(3)), shares, beside=beside)
    assert refusal is not None and refusal.reason is Reason.OVER_REPRESENTED and "a.test" in refusal.detail
    assert represented.check(mark("b.test", "three", far(3)), shares, beside=beside) is None
    represented.add(mark("b.test", "one", far(5)))
    assert represented.check(mark("c.test", "one", far(6)), shares) is not None, "the same source image, however it was edited"


def test_near_copies_of_an_image_count_as_one() -> None:
    shares = Shares(per_domain=9, per_image=1)
    represented = Representation([mark(bits=far(1))])
    assert represented.check(mark("b.test", "another", far(1) ^ 0b1011), shares) is not None
    assert represented.check(mark("b.test", "another", far(1) ^ 0xFFFF), shares) is None


def test_images_of_ones_own_pool_have_no_domain_to_share() -> None:
    assert reason_of(found(1, {"origin": "pool", "domain": ""}), terms=JUDGED) is None
    made = found(1, {"origin": "pool", "domain": "one.test"})
    source = Evidence(made, made.cell, CAPS).source
    assert source is not None and source.domain == ""
    represented = Representation([mark("", str(number), far(number)) for number in range(20)])
    assert represented.check(mark("", "new", far(99)), Shares(1, 1)) is None


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 5)), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_whatever_comes_no_share_is_exceeded(arrivals: list[tuple[str, int]], per_domain: int, per_image: int) -> None:
    represented, accepted = Representation(), list[tuple[str, int]]()
    for domain, image in arrivals:
        arrived = SourceMark(domain, name(str(image)), far(image))
        if represented.check(arrived, Shares(per_domain, per_image)) is None:
            represented.add(arrived)
            accepted.append((domain, image))
    assert all(sum(each[0] == domain for each in accepted) <= per_domain for domain in "abc")
    assert all(sum(each[1] == image for each in accepted) <= per_image for image in range(6))
    refused = [arrival for arrival in dict.fromkeys(arrivals) if arrival not in accepted]
    assert all(
        sum(each[0] == domain for each in accepted) == per_domain or sum(each[1] == image for each in accepted) == per_image
        for domain, image in refused
    )


@pytest.mark.parametrize("change", [{"num_blind_solvers": 1}, {"max_domain_share": 0.0}, {"max_image_share": 1.1}])
def test_impossible_terms_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=r"quality\."):
        check_quality(replace(QualitySpec(), **change))
