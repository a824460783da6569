"""THE EVENT CATALOGUE. Read this first: who says what to whom.

The loop is nowhere written down as a loop; it emerges from this table. Subjects, streams, durable consumers, dead-letter subjects and
the README's diagram are derived from it.
"""

from dataclasses import dataclass
from enum import StrEnum

from shared import events as e


class Room(StrEnum):
    """The services. `CLI` is the operator's own process: it announces iteration 0 and watches."""

    EVALUATOR = "evaluator"
    ATTRIBUTOR = "attributor"
    PLANNER = "planner"
    GENERATORS = "generators"
    QUALITY = "quality"
    TRAINER = "trainer"
    CLI = "cli"


class Stream(StrEnum):
    """JetStream streams. Control and work are kept for the life of a run; progress is kept for a day."""

    CONTROL = "SPIRAL_CONTROL"
    WORK = "SPIRAL_WORK"
    PROGRESS = "SPIRAL_PROGRESS"
    DEAD = "SPIRAL_DEAD"


@dataclass(frozen=True, slots=True)
class EventType:
    """One row: subject prefix (`.<run_id>` is appended), message, producers, consumers, stream."""

    subject: str
    message: type[e.Event]
    by: tuple[Room, ...]
    to: tuple[Room, ...]
    stream: Stream


R, S = Room, Stream

CATALOGUE: tuple[EventType, ...] = (
    EventType("model.updated", e.ModelUpdated, by=(R.TRAINER, R.CLI), to=(R.EVALUATOR,), stream=S.CONTROL),
    EventType("evaluation.completed", e.EvaluationCompleted, by=(R.EVALUATOR,), to=(R.ATTRIBUTOR,), stream=S.CONTROL),
    EventType("weakness.report", e.WeaknessReport, by=(R.ATTRIBUTOR,), to=(R.PLANNER,), stream=S.CONTROL),
    EventType("mixture.planned", e.MixturePlanned, by=(R.PLANNER,), to=(R.QUALITY,), stream=S.CONTROL),
    EventType("generation.requested", e.GenerationRequested, by=(R.PLANNER,), to=(R.GENERATORS,), stream=S.WORK),
    EventType("candidates.generated", e.CandidatesGenerated, by=(R.GENERATORS,), to=(R.QUALITY,), stream=S.WORK),
    EventType("candidates.reviewed", e.CandidatesReviewed, by=(R.QUALITY,), to=(R.PLANNER,), stream=S.WORK),
    EventType("plan.closed", e.PlanClosed, by=(R.PLANNER,), to=(R.QUALITY,), stream=S.CONTROL),
    EventType("dataset.ready", e.DatasetReady, by=(R.QUALITY,), to=(R.TRAINER,), stream=S.CONTROL),
    EventType("training.progressed", e.TrainingProgressed, by=(R.TRAINER,), to=(R.CLI,), stream=S.PROGRESS),
    EventType("model.promoted", e.ModelPromoted, by=(R.PLANNER,), to=(R.CLI,), stream=S.CONTROL),
    EventType("label.audited", e.LabelAudited, by=(R.CLI,), to=(R.PLANNER,), stream=S.CONTROL),
    EventType("run.finished", e.RunFinished, by=(R.PLANNER,), to=(R.CLI,), stream=S.CONTROL),
)

BY_MESSAGE: dict[type[e.Event], EventType] = {row.message: row for row in CATALOGUE}
BY_SUBJECT: dict[str, EventType] = {row.subject: row for row in CATALOGUE}


def subject_of(event: e.Event) -> str:
    """The full subject: `generation.requested.<kind>.<run_id>` for leases, `<subject>.<run_id>` otherwise."""
    row = BY_MESSAGE[type(event)]
    if isinstance(event, e.GenerationRequested):
        return f"{row.subject}.{event.lease.kind}.{event.run_id}"
    return f"{row.subject}.{event.run_id}"


def consumer_subject(row: EventType, kind: str | None = None) -> str:
    """The filter of a durable consumer: all runs, and for leases one generator kind."""
    if row.message is e.GenerationRequested:
        if kind is None:
            raise ValueError("generation.requested is consumed per generator kind")
        return f"{row.subject}.{kind}.*"
    return f"{row.subject}.*"


def durable_name(room: str, row: EventType, kind: str | None = None) -> str:
    """The durable consumer's name; replicas share it."""
    parts = [room, *([kind] if kind else []), row.subject.replace(".", "-")]
    return "_".join(parts)


def stream_subjects(stream: Stream) -> list[str]:
    """What a stream binds."""
    if stream is Stream.DEAD:
        return ["dead.>"]
    return [f"{row.subject}.>" for row in CATALOGUE if row.stream is stream]


def dead_subject(subject: str) -> str:
    """Where a message of `subject` goes that can't be handled."""
    return f"dead.{subject}"


def diagram() -> str:
    """The flow as a Mermaid flowchart, one arrow for each producer and consumer of an event."""
    arrows = [
        f"    {producer.value} -->|{row.subject}| {consumer.value}" for row in CATALOGUE for producer in row.by for consumer in row.to
    ]
    return "\n".join(["flowchart LR", *arrows])
