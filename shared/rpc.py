"""gRPC of every room: a server with health, reflection, deadlines and one mapping of errors; channels that keep alive and retry."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shared.errors import BadConfiguration, NotFound, Rejected, Retryable
from shared.service import Servicer
from shared.telemetry import log

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OURS = "/spiral."

_LIMITS = [("grpc.max_send_message_length", MAX_MESSAGE_BYTES), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
_SERVER_OPTIONS = [
    *_LIMITS,
    # Two processes on one port would share its calls without a word.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # A busy room reads several pings at once; it must not take its own rooms for attackers and hang up.
    ("grpc.http2.max_ping_strikes", 0),
]
_CHANNEL_OPTIONS = [
    *_LIMITS,
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.enable_retries", 1),
    (
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [{}],
                        "retryPolicy": {
                            "maxAttempts": 5,
                            "initialBackoff": "0.1s",
                            "maxBackoff": "2s",
                            "backoffMultiplier": 2.5,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ]
            }
        ),
    ),
]
_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
}
_REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.FAILED_PRECONDITION}


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel that keeps itself alive, takes messages of 64 MB and retries calls while the other side is unavailable."""
    return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)


def translated(error: grpc.aio.AioRpcError) -> Exception:
    """What a failed call means for the one who called: Retryable, Rejected, or the error itself where the other side has a bug."""
    text = f"call failed with {error.code().name}: {error.details()}"
    if error.code() in _TRANSIENT:
        return Retryable(text)
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return NotFound(text)
    return Rejected(text) if error.code() in _REFUSALS else error


class RpcServer:
    """A room's gRPC server: its own services plus health and reflection."""

    def __init__(self, servicers: Sequence[Servicer], *, host: str, port: int, deadline_s: float) -> None:
        self._servicers = servicers
        self._host = host
        self._port = port
        self._server = grpc.aio.server(interceptors=[_Guard(deadline_s)], options=_SERVER_OPTIONS)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._names = [servicer.name for servicer in servicers]

    async def start(self) -> int:
        """Listens, not yet serving as far as health is concerned, and returns the port.

        Raises:
            BadConfiguration: the port is taken or the host is not ours.
        """
        for servicer in self._servicers:
            servicer.add(servicer.servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        await self.report(is_serving=False)
        try:
            port = self._server.add_insecure_port(f"{self._host}:{self._port}")
        except RuntimeError as error:
            raise BadConfiguration(
                f"gRPC can't listen on {self._host}:{self._port}: is the port taken? Set SPIRAL_GRPC_PORT (0: a free one)"
            ) from error
        await self._server.start()
        return int(port)

    async def report(self, *, is_serving: bool) -> None:
        """Sets the health of the server and of each service."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, and cancels those that outlast the grace time."""
        await self._server.stop(grace_s)


class _Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Gives every call of ours a deadline and every error of ours its status."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Wraps the method's behaviour; health and reflection are left alone, a health watch may last for days."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

        async def answer(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            async with self._guarded(context, method):
                return await behaviour(request, context)

        async def stream(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> AsyncIterator[Any]:
            async with self._guarded(context, method):
                async for response in behaviour(request, context):
                    yield response

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[(handler.request_streaming, handler.response_streaming)]
        return make(
            stream if handler.response_streaming else answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    @asynccontextmanager
    async def _guarded(self, context: "grpc.aio.ServicerContext[Any, Any]", method: str) -> AsyncIterator[None]:
        remaining = context.time_remaining()
        limit_s = self._deadline_s if remaining is None else min(remaining, self._deadline_s)
        try:
            async with asyncio.timeout(limit_s) as deadline:
                yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"{method} took longer than {limit_s:.1f} s")
            code = _status(error)
            if code is grpc.StatusCode.INTERNAL:
                log.error("call failed", method=method, exc_info=error)
            await context.abort(code, f"{type(error).__name__}: {error}" if code is grpc.StatusCode.INTERNAL else str(error))


def _status(error: Exception) -> grpc.StatusCode:
    if isinstance(error, grpc.aio.AioRpcError):
        error = translated(error)
    if isinstance(error, Retryable):
        return grpc.StatusCode.UNAVAILABLE
    if isinstance(error, Rejected):
        return grpc.StatusCode[error.grpc_code]
    if isinstance(error, BadConfiguration):
        return grpc.StatusCode.FAILED_PRECONDITION
    return grpc.StatusCode.INTERNAL
