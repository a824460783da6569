"""Quality's gRPC service."""

from typing import Any

import grpc.aio
from spiral.v1 import quality_pb2, quality_pb2_grpc

from services.quality.contract import iteration_of
from services.quality.reviewing import Reviewing
from shared.domain import Candidate, Lease
from shared.errors import NotFound, Rejected
from shared.service import Ports
from shared.wire import from_wire, to_wire


class QualityServicer(quality_pb2_grpc.QualityServiceServicer):
    """What-if reviews, over gRPC."""

    def __init__(self, ports: Ports, reviewing: Reviewing) -> None:
        self._ports = ports
        self._reviewing = reviewing

    async def ReviewCandidates(  # noqa: N802
        self, request: quality_pb2.ReviewCandidatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> quality_pb2.ReviewCandidatesResponse:
        """Reviews candidates as for a lease; nothing is kept."""
        candidates = [from_wire(Candidate, candidate) for candidate in request.candidates]
        if not candidates:
            raise Rejected("the request holds no candidate")
        lease = from_wire(Lease, request.lease)
        try:
            spec = await self._ports.runs.get(request.run_id)
        except NotFound as error:
            raise Rejected(str(error)) from error
        verdicts = await self._reviewing.verdicts(spec, iteration_of(request.run_id, lease), lease, candidates)
        return quality_pb2.ReviewCandidatesResponse(verdicts=[to_wire(verdict) for verdict in verdicts])  # type: ignore[misc]
