"""Licences, cost and categories."""

from pathlib import Path

import pytest

from services.generators.agentic.categories import WORDS, definitions
from services.generators.agentic.licences import is_allowed
from services.generators.agentic.unit_cost import UnitCost
from shared.domain import ImageCategory

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("licence", "allowed", "may"),
    [
        ("CC-BY-4.0", (), True),
        ("", (), False),
        ("  ", ("CC-*",), False),
        ("cc-by-4.0", ("CC-BY-4.0",), True),
        ("CC-BY-SA-4.0", ("CC-BY-4.0",), False),
        ("CC-BY-SA-4.0", ("CC0-1.0", "cc-by*"), True),
        ("proprietary", ("CC*",), False),
    ],
)
def test_licences_are_those_that_quality_lets_in(licence: str, allowed: tuple[str, ...], may: bool) -> None:
    assert is_allowed(licence, allowed) is may


def test_the_unit_cost_moves_from_its_prior_to_what_is_measured() -> None:
    cost = UnitCost(30.0)
    assert cost.per_candidate_s == 30.0
    for _ in range(60):
        cost.add(8.0, 8)
    assert cost.per_candidate_s == pytest.approx(1.0, rel=0.05)
    before = cost.per_candidate_s
    cost.add(8.0, 0)
    assert cost.per_candidate_s > before
    for _ in range(500):
        cost.add(8.0, 0)
    assert cost.per_candidate_s < float("inf")


def test_every_category_is_defined_as_quality_judges_it() -> None:
    assert set(WORDS) == set(ImageCategory)
    judged = (ROOT / "services/quality/prompts/categorize.md").read_text(encoding="utf-8")
    assert definitions() in judged
