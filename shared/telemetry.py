"""Logs, metrics and traces of a room."""

import logging
import sys
from importlib.metadata import entry_points

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from shared.errors import BadConfiguration

log: structlog.stdlib.BoundLogger = structlog.get_logger()


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
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
        self.published = Counter("spiral_events_published", "Events said", ["room", "subject"], registry=self.registry)

    def serve(self, port: int) -> None:
        """Answers on all interfaces until the process ends."""
        start_http_server(port, registry=self.registry)


def tracing(room: str, exporter: str) -> tuple[Tracer, TracerProvider]:
    """A tracer that hands trace context on, and records spans only where an exporter is named.

    Args:
        exporter: the name of an installed OpenTelemetry exporter, such as `console` or `otlp`; empty for none.

    Raises:
        BadConfiguration: no such exporter is installed.
    """
    resource = Resource.create({"service.name": f"spiral-{room}"})
    if not exporter:
        provider = TracerProvider(resource=resource, sampler=ALWAYS_OFF)
        return provider.get_tracer("spiral"), provider
    found = list(entry_points(group="opentelemetry_traces_exporter", name=exporter))
    if not found:
        raise BadConfiguration(f"SPIRAL_TRACES_EXPORTER: no OpenTelemetry exporter {exporter!r} is installed")
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    return provider.get_tracer("spiral"), provider
