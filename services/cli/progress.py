"""What the live view knows of a run, event by event. Pure."""

from collections import Counter
from dataclasses import dataclass, field

from services.cli.report_rounds import stage_of
from services.cli.words import percent, words
from shared import events as e


@dataclass(slots=True)
class IterationProgress:
    """One iteration so far. Accuracy is the posterior pass rate on the probes that decisions see, as a mean over cells."""

    iteration: int
    seen: list[e.Event] = field(default_factory=list)
    wanted: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    training: e.TrainingProgressed | None = None
    pass_rate: float | None = None
    num_weak: int = 0
    is_promoted: bool | None = None

    @property
    def stage(self) -> str:
        """What it is at."""
        return stage_of(self.iteration, self.seen)


@dataclass(slots=True)
class RunProgress:
    """A run so far."""

    run_id: str
    num_iterations: int
    iterations: dict[int, IterationProgress] = field(default_factory=dict)
    finished: e.RunFinished | None = None

    def apply(self, event: e.Event) -> str | None:
        """Takes an event in, and returns a line for people where it marks a step."""
        at = self.iterations.setdefault(event.iteration, IterationProgress(event.iteration))
        if not any(type(event) is type(other) for other in at.seen):
            at.seen.append(event)
        line = self._take(at, event)
        return None if line is None else f"iteration {event.iteration}: {line}"

    def _take(self, at: IterationProgress, event: e.Event) -> str | None:
        match event:
            case e.ModelUpdated(model=model):
                return f"model {model.model_id} stands, evaluating"
            case e.EvaluationCompleted():
                failed = f", {event.num_failed} could not be asked" if event.num_failed else ""
                return f"{event.num_answers:,} answers to {event.num_probes:,} probes{failed}"
            case e.WeaknessReport(cells=cells):
                at.pass_rate = sum(cell.pass_rate for cell in cells) / len(cells) if cells else None
                at.num_weak = sum(cell.is_weak for cell in cells)
                rate = "" if at.pass_rate is None else f"pass rate {percent(at.pass_rate)}, "
                return f"{rate}{at.num_weak} of {len(cells)} cells are weak"
            case e.MixturePlanned():
                at.wanted = event.num_samples
                held = f"; held back for wrong labels: {', '.join(map(str, event.held_back))}" if event.held_back else ""
                return f"{event.num_samples:,} samples planned over {len(event.quotas)} cells ({words(event.strategy.value)}){held}"
            case e.CandidatesReviewed(verdicts=verdicts):
                at.accepted += sum(verdict.accepted for verdict in verdicts)
                at.rejected.update(verdict.reason.value for verdict in verdicts if verdict.reason is not None)
                return None
            case e.PlanClosed(reason=reason):
                return f"{at.accepted:,} accepted, {at.rejected.total():,} rejected ({words(reason.value)})"
            case e.DatasetReady(num_samples=num_samples):
                return f"dataset of {num_samples:,} sealed, training"
            case e.TrainingProgressed():
                at.training = event
                return None
            case e.ModelPromoted():
                at.is_promoted = event.is_promoted
                return event.explanation or ("promoted" if event.is_promoted else "champion kept")
            case e.RunFinished():
                self.finished = event
                return f"run finished ({words(event.reason.value)}): {event.explanation}"
        return None
