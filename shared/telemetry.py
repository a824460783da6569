"""Logs, metrics and traces of a room."""

import logging
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

import structlog
from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from shared.errors import BadConfiguration

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def configure_logs(room: str, instance_id: str, *, level: str, is_json: bool) -> None:
    """Lets every log line go to stderr, with room and instance, and whatever the task has bound (event id, iteration, attempt)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Asked for at each line: stderr may be another one by then (say, of the next test).
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(room=room, instance_id=instance_id)


class Metrics:
    """What Prometheus may ask a room."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.handled = Counter(
            "spiral_events_handled", "Deliveries by what became of them", ["room", "subject", "outcome"], registry=self.registry
        )
        self.handler_seconds = Histogram(
            "spiral_handler_seconds",
            "From delivery to acknowledgement",
            ["room", "subject"],
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000),
            registry=self.registry,
        )

    def serve(self, port: int) -> None:
        """Answers on all interfaces until the process ends.

        Raises:
            BadConfiguration: the port is taken.
        """
        try:
            start_http_server(port, registry=self.registry)
        except OSError as error:
            raise BadConfiguration(
                f"metrics can't be served on port {port}: {error.strerror}; set SPIRAL_METRICS_PORT to another"
            ) from error


@dataclass(frozen=True, slots=True)
class Span:
    """The handling of one event: the trace headers of what follows from it, and its end."""

    headers: dict[str, str]
    end: Callable[[], None]


class Tracing:
    """Hands trace context on from event to event, and records spans where an exporter is named.

    Args:
        exporter: the name of an installed OpenTelemetry exporter, such as `console` or `otlp`; empty for none.

    Raises:
        BadConfiguration: no such exporter is installed.
    """

    def __init__(self, room: str, exporter: str) -> None:
        self._provider: TracerProvider | None = None
        self._ids = RandomIdGenerator()
        if exporter:
            found = list(entry_points(group="opentelemetry_traces_exporter", name=exporter))
            if not found:
                raise BadConfiguration(f"SPIRAL_TRACES_EXPORTER: no OpenTelemetry exporter {exporter!r} is installed")
            self._provider = TracerProvider(resource=Resource.create({"service.name": f"spiral-{room}"}))
            self._provider.add_span_processor(BatchSpanProcessor(found[0].load()()))

    def begin(self, name: str, headers: Mapping[str, str]) -> Span:
        """The span of an event with these headers; a new trace where they name none."""
        if self._provider is None:
            return Span(self._passed_on(headers), _nothing)
        parent = _PROPAGATOR.extract(headers)
        span = self._provider.get_tracer("spiral").start_span(name, parent, kind=trace.SpanKind.CONSUMER)
        within = trace.set_span_in_context(span, parent)
        context.attach(within)
        following: dict[str, str] = {}
        _PROPAGATOR.inject(following, within)
        return Span(following, span.end)

    def close(self) -> None:
        """Exports what is left."""
        if self._provider is not None:
            self._provider.shutdown()

    def _passed_on(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Without spans of our own the parent's context goes on unchanged, as OpenTelemetry does without an SDK."""
        if _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
            return {key: headers[key] for key in ("traceparent", "tracestate") if key in headers}
        return {"traceparent": f"00-{self._ids.generate_trace_id():032x}-{self._ids.generate_span_id():016x}-00"}


def _nothing() -> None:
    pass
