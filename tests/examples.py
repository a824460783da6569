"""Small, valid values of the domain for tests that are about something else."""

from shared.domain import ArtifactRef, ModelVersion, Recipe
from shared.events import EvaluationCompleted, ModelUpdated, TrainingProgressed
from shared.ports import Cause
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, RunSpec, TrainingSpec

CAUSE = Cause("operator-said-so", 1_700_000_000_000_000_000)


def artifact(name: str) -> ArtifactRef:
    return ArtifactRef(f"spiral://{name}", "ab" * 32, 10)


def model(run_id: str, iteration: int = 0) -> ModelVersion:
    return ModelVersion(f"{run_id}/{iteration}", iteration, artifact("checkpoint"))


def run_spec(run_id: str) -> RunSpec:
    return RunSpec(
        run_id=run_id,
        created_at_ns=CAUSE.stored_at_ns,
        seed=7,
        num_iterations=1,
        base_checkpoint=artifact("base"),
        probes=artifact("probes"),
        exam=artifact("exam"),
        evaluation=EvaluationSpec(),
        planning=PlanningSpec(),
        quality=QualitySpec(),
        training=TrainingSpec(),
    )


def model_updated(run_id: str, iteration: int = 0) -> ModelUpdated:
    return ModelUpdated(run_id, iteration, model(run_id, iteration))


def evaluation_completed(run_id: str, iteration: int = 0) -> EvaluationCompleted:
    return EvaluationCompleted(
        run_id=run_id,
        iteration=iteration,
        model=model(run_id, iteration),
        answers=artifact("answers"),
        exam_answers=artifact("exam-answers"),
        num_probes=10,
        num_answers=50,
        num_ungradable=0,
        num_failed=0,
        prompt_template="cd" * 32,
    )


def training_progressed(run_id: str, step: int) -> TrainingProgressed:
    return TrainingProgressed(run_id, 1, f"{run_id}/1", Recipe.TEACH, step, 3, loss=0.5, samples_per_s=10.0)
