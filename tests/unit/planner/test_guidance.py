"""What of the champion's diagnosis goes with its leases."""

from dataclasses import replace

from services.planner.codec import from_json, to_json
from services.planner.guidance import MAX_CHARS, guidance_of
from services.planner.ledger import OPENING, PlanLedger, is_as_issued
from services.planner.plan_steps import open_plan
from services.planner.run_ledger import plan_of
from shared import wire
from shared.domain import CellDiagnosis, ErrorCount, ErrorEvidence, ErrorExample, ErrorType, Guidance, Lease
from tests.unit.planner.planted import CELLS, diagnosed, routes
from tests.unit.planner.test_ledger import leases
from tests.unit.planner.test_run_ledger import SPEC, STRONG, WEAK, after, report

NEAR, UNIT = ErrorType.NEAR_MISS, ErrorType.WRONG_UNIT
EXAMPLES = (ErrorExample(NEAR, "7", "7.2"), ErrorExample(NEAR, "3", "3.1"), ErrorExample(UNIT, "4 m", "4 cm"))


def examined(cell: CellDiagnosis, examples: tuple[ErrorExample, ...] = EXAMPLES) -> CellDiagnosis:
    return replace(cell, errors=(ErrorCount(UNIT, 9), ErrorCount(NEAR, 4)), examples=examples)


def opened() -> PlanLedger:
    said = report(0)
    ledger = after(None, replace(said, cells=(examined(said.cells[0]), said.cells[1])))
    assert ledger.last.planned is not None
    plan = plan_of(ledger, ledger.last.planned, SPEC, start_difficulty=0.3, top_difficulty=0.9)
    return from_json(PlanLedger, to_json(open_plan(plan, routes(rendered=CELLS))))


def test_leases_carry_the_champions_errors_with_counts_and_examples_the_most_frequent_first() -> None:
    weak, strong = leases(opened(), OPENING)
    assert (weak.cell, strong.cell) == (WEAK, STRONG)
    assert weak.guidance is not None
    assert weak.guidance.errors == (ErrorEvidence(UNIT, 9, EXAMPLES[2:]), ErrorEvidence(NEAR, 4, EXAMPLES[:2]))
    assert strong.guidance == Guidance(diagnosed(STRONG, 90).pass_rate, diagnosed(STRONG, 90).interval, ())


def test_lease_comes_back_as_issued_after_the_wire_and_without_its_guidance() -> None:
    plan = opened()
    for lease in leases(plan, OPENING):
        assert is_as_issued(plan, wire.decode(Lease, wire.encode(lease)))
        assert is_as_issued(plan, replace(lease, guidance=None))


def test_diagnosis_of_an_attributor_that_tells_no_examples_gives_guidance_without() -> None:
    told = guidance_of([examined(diagnosed(CELLS[0], 30), ())])[CELLS[0]]
    assert [(error.error_type, error.count, error.examples) for error in told.errors] == [(UNIT, 9, ()), (NEAR, 4, ())]


def test_examples_that_fill_a_ledger_are_told_less_of_in_every_cell() -> None:
    long = tuple(ErrorExample(error, "r" * 80, f"{number}" * 80) for error in ErrorType for number in range(3))
    errors = tuple(ErrorCount(error, 5) for error in ErrorType)
    cells = [replace(diagnosed(cell, 30), errors=errors, examples=long) for cell in CELLS]
    assert all(len(error.examples) == 3 for error in guidance_of(cells[:12])[CELLS[0]].errors)
    monstrous = [replace(cell, examples=tuple(replace(example, answered="x" * 800) for example in long)) for cell in cells]
    told = guidance_of(monstrous)
    assert {len(error.examples) for guidance in told.values() for error in guidance.errors} == {1}
    assert sum(len(example.answered) for guidance in told.values() for error in guidance.errors for example in error.examples) <= MAX_CHARS
    assert guidance_of([]) == {}
