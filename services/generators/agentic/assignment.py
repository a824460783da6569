"""What one candidate is made for: its place in a list, and what the lease says of it."""

import hashlib
from dataclasses import dataclass

from services.generators.agentic.turn import Turn
from services.generators.candidate_identity import lease_seed
from shared.domain import Cell, Guidance, Lease, LeaseTask

MAKE = "make"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One candidate to be made. The same assignment asks the same models the same, whoever works on it and however often."""

    run_id: str
    list_id: str
    """The lease, or what else holds a list of candidates together."""
    cell: Cell
    difficulty: float
    """In [0, 1]."""
    image_size_px: int
    """The longest side of the image that is asked about."""
    seed: int
    """Of the list."""
    index: int
    """Its place in the list."""
    num_candidates: int
    """The list's length."""
    turn: Turn
    """Where the list stands among those of its cell."""
    task: LeaseTask | None = None
    guidance: Guidance | None = None

    @property
    def task_name(self) -> str:
        """As provenance names it."""
        return self.task.value if self.task is not None else MAKE

    def draw(self, *what: object) -> int:
        """A number in [0, 2^31) that follows from the seed, the place and what it is drawn for."""
        text = "/".join(map(str, (self.seed, self.index, *what)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def assignments_of(run_id: str, iteration: int, lease: Lease, *, at_most: int) -> list[Assignment]:
    """The candidates that are made for a lease."""
    seed, num = lease_seed(lease), min(lease.num_candidates, at_most)
    order = f"{lease.lease_id.partition('.')[0]}/{lease.cell}"
    turn = Turn(order, iteration, (lease.ordinal - 1) * at_most)
    return [
        Assignment(
            run_id=run_id,
            list_id=lease.lease_id,
            cell=lease.cell,
            difficulty=lease.difficulty,
            image_size_px=lease.image_size_px,
            seed=seed,
            index=index,
            num_candidates=num,
            turn=turn,
            task=lease.task,
            guidance=lease.guidance,
        )
        for index in range(num)
    ]
