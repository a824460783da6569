"""The evaluator's handler, its gRPC service and what it says again after a crash."""

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from spiral.v1 import evaluator_pb2, evaluator_pb2_grpc

from services.evaluator.evaluation import (
    FAILED,
    Chunk,
    answer_rows,
    chosen_probes,
    chunk_seed,
    chunks,
    count_rollouts,
    exam_probes,
)
from services.evaluator.policy_choice import open_policy
from services.evaluator.policy_model import Completions, Decoding, PolicyModel, Prompt, greedy
from services.evaluator.progress import HalfDone
from services.evaluator.settings import EvaluatorSettings
from shared import wire
from shared.answers import Outcome, check_reference
from shared.artifacts import Artifacts
from shared.checkpoint import check_directory
from shared.domain import ArtifactRef, ModelVersion, Question
from shared.errors import Rejected
from shared.events import EvaluationCompleted, Event, ModelUpdated
from shared.ports import Cause, Delivery
from shared.prompt import PROMPT_TEMPLATE, render_question
from shared.run_spec import EvaluationSpec, RunSpec
from shared.service import Ports, Service, Servicer
from shared.tables import AnswerRow, Probe, read_probes, write_answers
from shared.wire_json import from_json, to_json

_MAX_ROLLOUTS = 4096
_MAX_NEW_TOKENS = 32_768


class Evaluator:
    """Answers every probe with every model, and grades the answers."""

    def __init__(self, ports: Ports, policy: PolicyModel, *, directory: Path, chunk_size: int) -> None:
        """Takes the ports, the policy, and a directory in which a half-done evaluation survives a crash of this process."""
        self._ports = ports
        self._policy = policy
        self._directory = directory
        self._chunk_size = chunk_size

    async def on_model_updated(self, event: ModelUpdated, delivery: Delivery) -> Sequence[Event]:
        """Asks core and fresh probes greedily and sampled, and the exam greedily; commits the graded answers, then says so.

        Raises:
            Rejected: the checkpoint, the probes, the exam or the specification is at fault.
        """
        name = evaluation_name(event.run_id, event.iteration)
        standing = await self._ports.artifacts.find(name)
        if standing is None:
            try:
                standing = await self._evaluate(event, name, delivery.cause)
            finally:
                self._ports.activity.report("")
        return [await announcement(self._ports.artifacts, event.run_id, standing)]

    async def reconcile(self, spec: RunSpec) -> Sequence[tuple[Cause, Sequence[Event]]]:
        """Every committed evaluation of a run, with its announcement."""
        said: list[tuple[Cause, Sequence[Event]]] = []
        for iteration in range(spec.num_iterations + 1):
            ref = await self._ports.artifacts.find(evaluation_name(spec.run_id, iteration))
            if ref is not None:
                manifest = await self._ports.artifacts.manifest(ref)
                said.append((manifest.cause, [await announcement(self._ports.artifacts, spec.run_id, ref)]))
        return said

    async def _evaluate(self, event: ModelUpdated, name: str, cause: Cause) -> ArtifactRef:
        spec = await self._ports.runs.get(event.run_id)
        check_evaluation(spec.evaluation)
        self._ports.activity.report("fetching checkpoint and probes", run_id=event.run_id)
        parts = await self._parts(event, spec)
        checkpoint = await self._ports.artifacts.fetch_directory(event.model.checkpoint)
        await asyncio.to_thread(check_directory, checkpoint)
        kept = HalfDone(self._directory, event, spec)
        num_done, num_total = 0, sum(len(part.probes) for part in parts)
        answers: list[AnswerRow] = []
        exam_answers: list[AnswerRow] = []
        for part in parts:
            self._ports.activity.report("evaluating", run_id=event.run_id, num_done=num_done, num_total=num_total)
            rows = await kept.recall(part.key)
            if rows is None:
                rows = await self._ask(checkpoint, part, spec, event.iteration)
                await kept.remember(part.key, rows)
            (exam_answers if part.is_exam else answers).extend(rows)
            num_done += len(part.probes)
        ref = await self._commit(name, event.model, answers, exam_answers, cause)
        await kept.forget()
        return ref

    async def _parts(self, event: ModelUpdated, spec: RunSpec) -> list[Chunk]:
        artifacts = self._ports.artifacts
        probes, exam = (f"{what} of run {event.run_id} ({ref.uri})" for what, ref in (("probes", spec.probes), ("exam", spec.exam)))
        chosen = chosen_probes(await _read(artifacts, spec.probes, probes), event.iteration, probes)
        items = exam_probes(await _read(artifacts, spec.exam, exam), exam)
        return [*chunks(chosen, self._chunk_size, is_exam=False), *chunks(items, self._chunk_size, is_exam=True)]

    async def _ask(self, checkpoint: Path, part: Chunk, spec: RunSpec, iteration: int) -> list[AnswerRow]:
        how = spec.evaluation
        prompts = [Prompt(p.image, render_question(p.question, p.cell.question_type, p.choices)) for p in part.probes]
        firsts = await self._policy.generate(checkpoint, prompts, greedy(how.max_new_tokens), batch_size=how.batch_size)
        samples = [Completions(())] * len(prompts)
        if how.num_samples_per_probe and not part.is_exam:
            seed = chunk_seed(spec.seed, iteration, part.key)
            decoding = Decoding(how.num_samples_per_probe, how.temperature, how.max_new_tokens, seed)
            samples = await self._policy.generate(checkpoint, prompts, decoding, batch_size=how.batch_size)
        graded = await asyncio.to_thread(lambda: [answer_rows(*asked) for asked in zip(part.probes, firsts, samples, strict=True)])
        return [row for rows in graded for row in rows]

    async def _commit(
        self, name: str, model: ModelVersion, answers: Sequence[AnswerRow], exam_answers: Sequence[AnswerRow], cause: Cause
    ) -> ArtifactRef:
        artifacts = self._ports.artifacts
        outcomes = Counter(row.outcome for row in answers)
        files = {
            "answers.parquet": await artifacts.put_bytes(write_answers(answers)),
            "exam_answers.parquet": await artifacts.put_bytes(write_answers(exam_answers)),
        }
        metadata = {
            "model": to_json(model),
            "num_probes": len({row.probe_id for row in answers}),
            "num_answers": len(answers) - outcomes[FAILED],
            "num_ungradable": outcomes[Outcome.UNGRADABLE],
            "num_failed": outcomes[FAILED],
            "prompt_template": PROMPT_TEMPLATE,
        }
        return await artifacts.commit(name, files, cause=cause, metadata=metadata)


class EvaluatorServicer(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Pass rates of any checkpoint, over gRPC."""

    def __init__(self, artifacts: Artifacts, policy: PolicyModel, *, chunk_size: int, batch_size: int) -> None:
        self._artifacts = artifacts
        self._policy = policy
        self._chunk_size = chunk_size
        self._batch_size = batch_size

    async def SampleAnswers(  # noqa: N802
        self, request: evaluator_pb2.SampleAnswersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[evaluator_pb2.SampleAnswersResponse]:
        """Streams each question's rollouts; a question whose image can't be read has none."""
        questions, decoding = _checked(request)
        model = wire.from_wire(ModelVersion, request.model)
        checkpoint = await self._artifacts.fetch_directory(model.checkpoint)
        for start in range(0, len(questions), self._chunk_size):
            part = questions[start : start + self._chunk_size]
            prompts = [Prompt(q.image, render_question(q.question, q.question_type, q.choices)) for q in part]
            how = dataclasses.replace(decoding, seed=chunk_seed(decoding.seed, 0, f"sample-{start}"))
            for question, answered in zip(
                part, await self._policy.generate(checkpoint, prompts, how, batch_size=self._batch_size), strict=True
            ):
                rollouts = dataclasses.asdict(count_rollouts(question, answered.texts))
                yield evaluator_pb2.SampleAnswersResponse(question_id=question.question_id, **rollouts)


def _checked(request: evaluator_pb2.SampleAnswersRequest) -> tuple[list[Question], Decoding]:
    if not 1 <= request.num_rollouts <= _MAX_ROLLOUTS:
        raise Rejected(f"num_rollouts is {request.num_rollouts}; it must be 1 to {_MAX_ROLLOUTS}")
    _check_decoding(request.temperature, request.max_new_tokens)
    if not request.questions:
        raise Rejected("the request holds no question")
    questions = [wire.from_wire(Question, question) for question in request.questions]
    for question in questions:
        problem = check_reference(
            question_type=question.question_type, answer=question.answer, choices=question.choices, tolerance=question.tolerance
        )
        if problem:
            raise Rejected(f"question {question.question_id!r}: {problem}")
    return questions, Decoding(request.num_rollouts, request.temperature, request.max_new_tokens, request.seed)


def check_evaluation(spec: EvaluationSpec) -> None:
    """Refuses a specification that can't be carried out.

    Raises:
        Rejected: names the field and what it may be.
    """
    if not 0 <= spec.num_samples_per_probe <= _MAX_ROLLOUTS:
        raise Rejected(f"evaluation.num_samples_per_probe is {spec.num_samples_per_probe}; it must be 0 to {_MAX_ROLLOUTS}")
    if spec.batch_size < 1:
        raise Rejected(f"evaluation.batch_size is {spec.batch_size}; it must be at least 1")
    _check_decoding(spec.temperature, spec.max_new_tokens)


def _check_decoding(temperature: float, max_new_tokens: int) -> None:
    if not math.isfinite(temperature) or temperature <= 0:
        raise Rejected(f"temperature is {temperature}; it must be a number above 0")
    if not 1 <= max_new_tokens <= _MAX_NEW_TOKENS:
        raise Rejected(f"max_new_tokens is {max_new_tokens}; it must be 1 to {_MAX_NEW_TOKENS}")


async def _read(artifacts: Artifacts, ref: ArtifactRef, source: str) -> list[Probe]:
    payload = await artifacts.read_bytes(ref)
    return await asyncio.to_thread(read_probes, payload, source)


def evaluation_name(run_id: str, iteration: int) -> str:
    """The manifest of an iteration's evaluation."""
    return f"runs/{run_id}/{iteration}/evaluation"


async def announcement(artifacts: Artifacts, run_id: str, evaluation: ArtifactRef) -> EvaluationCompleted:
    """What a committed evaluation has to say, from its manifest alone; always the same."""
    manifest = await artifacts.manifest(evaluation)
    said = manifest.metadata
    return EvaluationCompleted(
        run_id=run_id,
        iteration=int(manifest.name.split("/")[2]),
        model=from_json(ModelVersion, said["model"]),
        answers=manifest.files["answers.parquet"],
        exam_answers=manifest.files["exam_answers.parquet"],
        num_probes=said["num_probes"],
        num_answers=said["num_answers"],
        num_ungradable=said["num_ungradable"],
        num_failed=said["num_failed"],
        prompt_template=said["prompt_template"],
    )


@asynccontextmanager
async def build(ports: Ports, settings: EvaluatorSettings) -> AsyncIterator[Service]:
    """The evaluator, ready to run."""
    async with open_policy(settings) as policy:
        evaluator = Evaluator(ports, policy, directory=settings.work_dir / "evaluations", chunk_size=settings.evaluation_chunk_size)
        servicer = EvaluatorServicer(
            ports.artifacts, policy, chunk_size=settings.evaluation_chunk_size, batch_size=settings.policy_batch_size
        )
        yield Service(
            handlers={ModelUpdated: evaluator.on_model_updated},
            servicers=(Servicer("spiral.v1.EvaluatorService", evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server, servicer),),
            reconcile=evaluator.reconcile,
        )
