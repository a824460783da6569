"""gRPC between rooms: statuses, deadlines, health, reflection, retries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from spiral.v1 import evaluator_pb2, evaluator_pb2_grpc, planner_pb2, planner_pb2_grpc

from shared.errors import BadConfiguration, NotFound, Rejected, Retryable
from shared.rpc import RpcServer, open_channel, translated
from shared.service import Servicer

PREVIEW = planner_pb2.PreviewMixtureRequest()


class Planner(planner_pb2_grpc.PlannerServiceServicer):
    """Raises what it is told, as often as it is told."""

    def __init__(self, error: Exception | None = None, times: int = 1_000) -> None:
        self.error, self.times, self.num_calls = error, times, 0

    async def PreviewMixture(self, request: object, context: object) -> planner_pb2.PreviewMixtureResponse:  # noqa: N802
        self.num_calls += 1
        if self.error is not None and self.num_calls <= self.times:
            raise self.error
        if self.times == 0:
            await asyncio.sleep(30)
        return planner_pb2.PreviewMixtureResponse()


class Evaluator(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Answers one question and then breaks the contract."""

    async def SampleAnswers(self, request: object, context: object) -> AsyncIterator[evaluator_pb2.SampleAnswersResponse]:  # noqa: N802
        yield evaluator_pb2.SampleAnswersResponse(question_id="q1")
        raise Rejected("question q2 has no image")


@asynccontextmanager
async def serving(planner: Planner, deadline_s: float = 5.0) -> AsyncIterator[grpc.aio.Channel]:
    server = RpcServer(
        [
            Servicer("spiral.v1.PlannerService", lambda one, to: planner_pb2_grpc.add_PlannerServiceServicer_to_server(one, to), planner),
            Servicer(
                "spiral.v1.EvaluatorService",
                lambda one, to: evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server(one, to),
                Evaluator(),
            ),
        ],
        host="127.0.0.1",
        port=0,
        deadline_s=deadline_s,
    )
    port = await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield channel
            await server.report(is_serving=True)
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Rejected("weights are negative"), grpc.StatusCode.INVALID_ARGUMENT),
        (NotFound("no such run"), grpc.StatusCode.NOT_FOUND),
        (Retryable("the store is away"), grpc.StatusCode.UNAVAILABLE),
        (BadConfiguration("no judge is configured"), grpc.StatusCode.FAILED_PRECONDITION),
        (ZeroDivisionError("a planted bug"), grpc.StatusCode.INTERNAL),
        (TimeoutError("somebody's own"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_an_error_has_its_status_and_its_text(error: Exception, code: grpc.StatusCode) -> None:
    async with serving(Planner(error)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await planner_pb2_grpc.PlannerServiceStub(channel).PreviewMixture(PREVIEW, timeout=20)
    assert failure.value.code() is code
    assert str(error) in (failure.value.details() or "")


async def test_a_stream_keeps_what_it_said_before_its_error() -> None:
    async with serving(Planner()) as channel:
        stream = evaluator_pb2_grpc.EvaluatorServiceStub(channel).SampleAnswers(evaluator_pb2.SampleAnswersRequest(), timeout=5)
        received = []
        with pytest.raises(grpc.aio.AioRpcError, match="question q2 has no image"):
            async for answer in stream:
                received.append(answer.question_id)
    assert received == ["q1"]


async def test_a_call_without_a_deadline_gets_the_servers() -> None:
    async with serving(Planner(times=0), deadline_s=0.2) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await planner_pb2_grpc.PlannerServiceStub(channel).PreviewMixture(PREVIEW)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_is_tried_again_while_the_other_room_is_unavailable() -> None:
    planner = Planner(Retryable("still loading"), times=2)
    async with serving(planner) as channel:
        await planner_pb2_grpc.PlannerServiceStub(channel).PreviewMixture(PREVIEW, timeout=10)
    assert planner.num_calls == 3


async def test_health_and_reflection_name_every_service() -> None:
    async with serving(Planner()) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "spiral.v1.PlannerService", "spiral.v1.EvaluatorService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING, "not before the consumers run"
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        names = [one.name async for answer in stub.ServerReflectionInfo(asked, timeout=5) for one in answer.list_services_response.service]
    assert {"spiral.v1.PlannerService", "spiral.v1.EvaluatorService", "grpc.health.v1.Health"} <= set(names)


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (Retryable("away"), Retryable),
        (Rejected("bad"), Rejected),
        (NotFound("gone"), NotFound),
        (ZeroDivisionError(), grpc.aio.AioRpcError),
    ],
)
async def test_a_failed_call_means_to_the_caller_what_it_meant_to_the_other_room(error: Exception, means: type[Exception]) -> None:
    async with serving(Planner(error)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await planner_pb2_grpc.PlannerServiceStub(channel).PreviewMixture(PREVIEW, timeout=20)
    assert type(translated(failure.value)) is means
