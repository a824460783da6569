"""GeneratorService, as every kind of ours serves it: who it is, candidates outside of leases, and draining."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc.aio
from spiral.v1 import generator_pb2, generator_pb2_grpc

from services.generators.attendance import Attendance
from shared.domain import Candidate, Cell
from shared.wire import from_wire, to_wire

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class GeneratorServicer(generator_pb2_grpc.GeneratorServiceServicer):
    """The gRPC service of a kind; a kind says how it makes candidates outside of leases."""

    def __init__(self, attendance: Attendance, *, drain: Callable[[], None], num_open_leases: Callable[[], int]) -> None:
        self._attendance = attendance
        self._drain = drain
        self._num_open_leases = num_open_leases

    @abstractmethod
    def preview(self, cell: Cell, num_candidates: int, seed: int, difficulty: float, image_size_px: int) -> AsyncIterator[Candidate]:
        """Makes candidates outside of any lease; the same arguments make the same ones.

        Raises:
            Rejected: the cell is not served, or a value is out of range.
        """

    async def DescribeGenerator(  # noqa: N802
        self, request: generator_pb2.DescribeGeneratorRequest, context: Context
    ) -> generator_pb2.DescribeGeneratorResponse:
        """Who this is, which cells it serves, and at which cost."""
        entry = self._attendance.entry
        response = generator_pb2.DescribeGeneratorResponse(generator=to_wire(entry.generator), unit_cost_s=entry.unit_cost_s)  # type: ignore[arg-type]
        response.cells.extend(to_wire(cell) for cell in entry.cells)  # type: ignore[misc]
        return response

    async def GenerateCandidates(  # noqa: N802
        self, request: generator_pb2.GenerateCandidatesRequest, context: Context
    ) -> AsyncIterator[generator_pb2.GenerateCandidatesResponse]:
        """Makes and streams candidates; the same request gets the same ones."""
        cell = from_wire(Cell, request.cell)
        async for candidate in self.preview(cell, request.num_candidates, request.seed, request.difficulty, request.image_size_px):
            yield generator_pb2.GenerateCandidatesResponse(candidate=to_wire(candidate))  # type: ignore[arg-type]

    async def Drain(  # noqa: N802
        self, request: generator_pb2.DrainRequest, context: Context
    ) -> generator_pb2.DrainResponse:
        """Takes no more leases, finishes what is held, then exits."""
        await self._attendance.announce_draining()
        self._drain()
        return generator_pb2.DrainResponse(num_open_leases=self._num_open_leases())
