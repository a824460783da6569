"""What of a diagnosis goes with a cell's leases, for generators that make practice for a weakness. Pure."""

from collections.abc import Iterable

from shared.domain import Cell, CellDiagnosis, ErrorEvidence, Guidance

MAX_CHARS = 200_000
"""Of all examples of a plan: its ledger is one value of the broker, which holds a megabyte."""


def guidance_of(diagnosis: Iterable[CellDiagnosis]) -> dict[Cell, Guidance]:
    """Each cell's pass rate and errors with examples, the most frequent error first.

    Where all examples together are too long for a ledger, each error type tells fewer of them.
    """
    cells = list(diagnosis)
    most = max((len(cell.examples) for cell in cells), default=0)
    for num_examples in range(most, -1, -1):
        guidance = {cell.cell: _guidance(cell, num_examples) for cell in cells}
        if sum(_num_chars(told) for told in guidance.values()) <= MAX_CHARS:
            return guidance
    return {}


def _guidance(cell: CellDiagnosis, num_examples: int) -> Guidance:
    def evidence(number: int) -> ErrorEvidence:
        error, count = cell.errors[number].error_type, cell.errors[number].count
        examples = [example for example in cell.examples if example.error_type is error]
        return ErrorEvidence(error, count, tuple(examples[:num_examples]))

    return Guidance(cell.pass_rate, cell.interval, tuple(evidence(number) for number in range(len(cell.errors))))


def _num_chars(guidance: Guidance) -> int:
    return sum(len(example.reference) + len(example.answered) for error in guidance.errors for example in error.examples)
