"""Candidates outside of leases, over gRPC: made as those of a lease are, and paid from a small budget of their own."""

from collections.abc import AsyncIterator, Callable

from services.generators.agentic.assignment import Assignment
from services.generators.agentic.equipment import PREVIEW_RUN, Equipment
from services.generators.agentic.request import check_request
from services.generators.agentic.turn import Turn
from services.generators.agentic.workshop import craft_list, rules_of
from services.generators.attendance import Attendance
from services.generators.servicer import GeneratorServicer
from shared.domain import Candidate, Cell
from shared.errors import Rejected
from shared.run_spec import QualitySpec


class NotEquipped(Rejected):
    """There is nothing to make candidates with."""

    grpc_code = "FAILED_PRECONDITION"


class PreviewSpent(Rejected):
    """The previews' budget is spent."""

    grpc_code = "RESOURCE_EXHAUSTED"


class AgenticServicer(GeneratorServicer):
    """Previews, and draining."""

    def __init__(
        self,
        attendance: Attendance,
        equipment: Equipment | str,
        *,
        max_candidates: int,
        drain: Callable[[], None],
        num_open_leases: Callable[[], int],
    ) -> None:
        super().__init__(attendance, drain=drain, num_open_leases=num_open_leases)
        self._equipment = equipment
        self._max_candidates = max_candidates

    async def preview(self, cell: Cell, num_candidates: int, seed: int, difficulty: float, image_size_px: int) -> AsyncIterator[Candidate]:
        """Makes candidates; fewer than asked for where some fail.

        Raises:
            Rejected: a value is out of range; `NotEquipped`, `PreviewSpent`.
            Retryable: an endpoint is away.
        """
        if not 1 <= num_candidates <= self._max_candidates:
            raise Rejected(f"num_candidates is {num_candidates}; it must be 1 to {self._max_candidates}: each one costs money")
        check_request(num_candidates, difficulty, image_size_px)
        lacking = self._equipment if isinstance(self._equipment, str) else self._equipment.lacks()
        if isinstance(self._equipment, str) or lacking:
            raise NotEquipped(lacking)
        assignments = [
            Assignment(
                run_id=PREVIEW_RUN,
                list_id=f"{PREVIEW_RUN}/{seed}",
                cell=cell,
                difficulty=difficulty,
                image_size_px=image_size_px,
                seed=seed,
                index=index,
                num_candidates=num_candidates,
                turn=Turn(f"{PREVIEW_RUN}/{cell}/{seed}"),
            )
            for index in range(num_candidates)
        ]
        batch = await craft_list(self._equipment, assignments, rules_of(QualitySpec(), num_candidates))
        for crafted in batch.crafted:
            yield crafted.candidate
        if batch.is_budget_spent:
            raise PreviewSpent("the previews' budget is spent: raise SPIRAL_PREVIEW_MAX_CALLS, _MAX_TOKENS or _MAX_COST_USD")
