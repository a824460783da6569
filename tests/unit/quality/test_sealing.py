"""What makes a dataset: the accepted samples in the plan's order, each once, with a card that accounts for them."""

from collections.abc import Sequence
from dataclasses import replace

from services.quality.dataset_card import dataset_card, licences, sources
from services.quality.sealing import ReviewedLease, Sealed, seal
from shared.domain import CellShortfall, ClosingReason, GeneratorIdentity, Recipe
from shared.tables import Sample
from tests.unit.quality.suspects import CHOICE, NUMERIC, name, provenance

MAKER = GeneratorIdentity("rendered", "1.0.0", "replica-a")


def sample(number: int) -> Sample:
    return Sample(name(str(number)), NUMERIC, b"", "?", (), "1", 0.0, Recipe.TEACH, None, 1, "l1", "{scene}", '{"licence":"CC0-1.0"}')


def found(number: int, domain: str, licence: str) -> Sample:
    told = provenance(source={"domain": domain, "licence": licence, "origin": "web" if domain else "pool"})
    return replace(sample(number), scene="", provenance=told)


def card_of(leases: Sequence[ReviewedLease]) -> str:
    return dataset_card(
        run_id="r1",
        iteration=1,
        base_model_id="r1/0",
        reason=ClosingReason.QUOTAS_MET,
        shortfalls=(),
        leases=leases,
        sealed=seal(leases),
    )


def reviewed(lease_id: str, *samples: Sample, content: str = "") -> ReviewedLease:
    return ReviewedLease(
        lease_id, MAKER, samples, {each.sample_id: content or each.sample_id for each in samples}, {"too_hard": 2, "schema": 1}
    )


def test_samples_follow_the_plans_leases() -> None:
    sealed = seal([reviewed("b", sample(3), sample(1)), reviewed("a", sample(2))])
    assert [each.sample_id for each in sealed.samples] == [name("3"), name("1"), name("2")]
    assert sealed.num_copies == 0


def test_of_equal_samples_the_first_in_order_stays() -> None:
    same = replace(sample(9), sample_id=name("another id"))
    sealed = seal([reviewed("a", sample(9), content="pixels"), reviewed("b", same, content="pixels"), reviewed("c", sample(9))])
    assert sealed == Sealed((sample(9),), 2)


def test_the_card_accounts_for_cells_reasons_makers_and_licences() -> None:
    asked = replace(sample(2), cell=CHOICE, recipe=Recipe.REINFORCE, pass_rate=0.5, provenance="no json")
    leases = [reviewed("a", sample(1)), reviewed("b", asked)]
    card = dataset_card(
        run_id="r1",
        iteration=2,
        base_model_id="r1/1",
        reason=ClosingReason.BUDGET_SPENT,
        shortfalls=(CellShortfall(CHOICE, 5, 1),),
        leases=leases,
        sealed=seal(leases),
    )
    assert "| geometric | numeric | teach | 1 | not asked | 1 | 0 |" in card
    assert "| geometric | multiple_choice | reinforce | 1 | 0.50 | 1 | 0 |" in card
    assert "| too_hard | 4 |" in card and "| schema | 2 |" in card
    assert "| geometric/multiple_choice | 5 | 1 |" in card
    assert "rendered 1.0.0 over 2 leases" in card
    assert "| CC0-1.0 | 1 |" in card and "| not stated | 1 |" in card
    assert "budget spent" in card


def test_licences_are_read_off_the_provenance() -> None:
    told = ['{"license":"MIT"}', '{"licence":"MIT"}', "[]", "", '{"licence":null}']
    counted = licences([replace(sample(number), provenance=text) for number, text in enumerate(told)])
    assert counted == {"not stated": 3, "MIT": 2}


def test_the_card_tells_how_each_label_was_checked_and_no_more() -> None:
    drawn, mixed = reviewed("a", sample(1)), reviewed("b", found(2, "a.test", "CC-BY-4.0"), found(3, "a.test", "CC-BY-4.0"))
    only_drawn = card_of([drawn])
    assert "1 labels are proved" in only_drawn and "agreed" not in only_drawn.replace("labels agreed", "")
    assert "Where found images come from" not in only_drawn
    card = card_of([drawn, mixed])
    assert "1 labels are proved" in card and "2 labels are agreed, not proved" in card
    assert "| geometric | numeric | teach | 3 | not asked | 1 | 2 |" in card


def test_the_card_counts_sources_by_domain_and_licence_and_what_was_quarantined() -> None:
    samples = [found(1, "a.test", "CC-BY-4.0"), found(2, "a.test", "CC-BY-4.0"), found(3, "", "CC0-1.0"), found(4, "b.test", "M|T\n# head")]
    lease = replace(reviewed("a", *samples), rejected={"quarantined": 3, "disputed": 1})
    card = card_of([lease])
    assert "| a.test | CC-BY-4.0 | 2 |" in card and "| pool | CC0-1.0 | 1 |" in card
    assert "| b.test | M\\|T # head | 1 |" in card, "what a stranger wrote stays in its cell"
    assert "| CC-BY-4.0 | 2 |" in card
    assert "another answer than the label: 3" in card and "| quarantined | 3 |" in card
    assert sources([*samples, sample(9)]) == {("a.test", "CC-BY-4.0"): 2, ("b.test", "M|T # head"): 1, ("pool", "CC0-1.0"): 1}
