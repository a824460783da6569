"""Whom `spiral run` asks for probes."""

from services.cli.probe_sets import makers
from shared.domain import GeneratorIdentity, GeneratorRegistration
from tests.unit.cli.example_run import CELLS


def living(kind: str, cost_s: float, num_cells: int = 2, *, draws_probes: bool = True, is_draining: bool = False) -> GeneratorRegistration:
    maker = GeneratorIdentity(kind, "1", f"{kind}-1")
    return GeneratorRegistration(maker, CELLS[:num_cells], cost_s, "127.0.0.1:1", is_draining, draws_probes=draws_probes)


def test_cheapest_that_draws_probes_is_asked_for_each_cell() -> None:
    chosen = makers([living("a", 2.0, 3), living("b", 1.0), living("c", 0.5, is_draining=True)])
    assert [entry.generator.kind for entry in chosen.values()] == ["b", "b", "a"]


def test_kind_whose_answers_no_drawing_proves_is_asked_for_none() -> None:
    chosen = makers([living("agentic", 0.1, 3, draws_probes=False), living("rendered", 1.0)])
    assert [entry.generator.kind for entry in chosen.values()] == ["rendered", "rendered"]
