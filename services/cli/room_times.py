"""Where the wall clock went, read off the stream: the time between an event and what a room made follow from it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from services.cli.report_model import RoomTime
from shared import events as e
from shared.catalogue import Room

UNITS: dict[Room, str] = {
    Room.EVALUATOR: "answers",
    Room.ATTRIBUTOR: "reports",
    Room.PLANNER: "plans",
    Room.GENERATORS: "candidates",
    Room.QUALITY: "verdicts",
    Room.TRAINER: "trainings",
}
"""In the order of the flow."""

Span = tuple[int, int]


def room_times(records: Sequence[tuple[e.Event, int]]) -> tuple[RoomTime, ...]:
    """For each room that did something: seconds in which it held an event (overlaps counted once), work done, and the rate.

    A pause of the whole stack counts for the room that held an event meanwhile.
    """
    spans: dict[Room, list[Span]] = defaultdict(list)
    done: dict[Room, int] = defaultdict(int)
    started: dict[tuple[Room, str], int] = {}
    for event, at_ns in records:
        for room, key, amount in _ends(event):
            begun = started.pop((room, key), None)
            if begun is not None:
                spans[room].append((begun, at_ns))
                done[room] += amount
        for room, key in _begins(event):
            started.setdefault((room, key), at_ns)
    return tuple(
        RoomTime(room.value, busy, done[room], unit, done[room] / busy if busy > 0 else 0.0)
        for room, unit in UNITS.items()
        if room in spans
        for busy in [covered_s(spans[room])]
    )


def covered_s(spans: Iterable[Span]) -> float:
    """Seconds covered by at least one of the spans, which are in nanoseconds."""
    total = 0
    reach = None
    for begin, end in sorted(spans):
        if reach is None or begin > reach:
            total += end - begin
            reach = end
        elif end > reach:
            total += end - reach
            reach = end
    return total / 1e9


def _begins(event: e.Event) -> list[tuple[Room, str]]:
    iteration = str(event.iteration)
    match event:
        case e.ModelUpdated():
            return [(Room.EVALUATOR, iteration)]
        case e.EvaluationCompleted():
            return [(Room.ATTRIBUTOR, iteration)]
        case e.WeaknessReport():
            return [(Room.PLANNER, iteration)]
        case e.GenerationRequested(lease=lease):
            return [(Room.GENERATORS, lease.lease_id)]
        case e.CandidatesGenerated(lease=lease):
            return [(Room.QUALITY, lease.lease_id)]
        case e.PlanClosed():
            return [(Room.QUALITY, iteration)]
        case e.DatasetReady():
            return [(Room.TRAINER, iteration)]
    return []


def _ends(event: e.Event) -> list[tuple[Room, str, int]]:
    iteration = str(event.iteration)
    match event:
        case e.EvaluationCompleted(num_answers=num_answers):
            return [(Room.EVALUATOR, iteration, num_answers)]
        case e.WeaknessReport():
            return [(Room.ATTRIBUTOR, iteration, 1)]
        case e.ModelPromoted():
            return [(Room.PLANNER, iteration, 1)]
        case e.CandidatesGenerated(lease=lease, num_candidates=num_candidates):
            return [(Room.GENERATORS, lease.lease_id, num_candidates)]
        case e.CandidatesReviewed(lease=lease, verdicts=verdicts):
            return [(Room.QUALITY, lease.lease_id, len(verdicts))]
        case e.DatasetReady():
            return [(Room.QUALITY, iteration, 0)]
        case e.ModelUpdated():
            return [(Room.TRAINER, iteration, 1)]
    return []
