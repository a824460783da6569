"""Asking the evaluator how often the current policy solves candidates."""

import hashlib
from collections.abc import Iterator, Sequence

import grpc.aio
from spiral.v1 import evaluator_pb2, evaluator_pb2_grpc

from services.quality.difficulty import Rollouts
from shared.domain import Candidate, Lease, Question
from shared.errors import Retryable
from shared.rpc import translated
from shared.run_spec import RunSpec
from shared.wire import to_wire

MAX_REQUEST_BYTES = 32 * 1024 * 1024
"""Image bytes of one request; half of what a message may hold."""


class PassRates:
    """The policy's rollouts on candidates, by gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_s: float) -> None:
        """Takes a channel to the evaluator, and how long one request may take."""
        self._evaluator = evaluator_pb2_grpc.EvaluatorServiceStub(channel)
        self._timeout_s = timeout_s

    async def ask(self, candidates: Sequence[Candidate], lease: Lease, spec: RunSpec, *, turn: int) -> dict[str, Rollouts]:
        """Rollouts of the lease's base model by candidate id; the same arguments give the same rollouts.

        Args:
            turn: counts the requests of a review, so that each has a seed of its own.

        Raises:
            Retryable: the evaluator is away, too slow, or broke off.
            Rejected: it refuses the questions, or the checkpoint does not stand in the store.
        """
        rollouts: dict[str, Rollouts] = {}
        for number, part in enumerate(_parts(candidates)):
            request = evaluator_pb2.SampleAnswersRequest(
                num_rollouts=spec.quality.num_rollouts,
                seed=rollout_seed(spec.seed, lease.lease_id, turn, number),
                temperature=spec.evaluation.temperature,
                max_new_tokens=spec.evaluation.max_new_tokens,
            )
            request.model.CopyFrom(to_wire(lease.base_model))  # type: ignore[arg-type]
            request.questions.extend(to_wire(_question(candidate)) for candidate in part)  # type: ignore[misc]
            try:
                async for answer in self._evaluator.SampleAnswers(request, timeout=self._timeout_s):
                    rollouts[answer.question_id] = _rollouts(answer)
            except grpc.aio.AioRpcError as error:
                raise translated(error) from error
        missing = [candidate.candidate_id for candidate in candidates if candidate.candidate_id not in rollouts]
        if missing:
            raise Retryable(f"the evaluator left {len(missing)} of {len(candidates)} questions unanswered, first {missing[0]}")
        return rollouts


def rollout_seed(run_seed: int, lease_id: str, turn: int, part: int) -> int:
    """The seed of one request, below 2^63."""
    digest = hashlib.sha256(f"{run_seed}/{lease_id}/rollouts/{turn}/{part}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _rollouts(answer: evaluator_pb2.SampleAnswersResponse) -> Rollouts:
    return Rollouts(answer.num_rollouts, answer.num_correct, answer.majority_answer, answer.majority_share)


def _question(candidate: Candidate) -> Question:
    return Question(
        question_id=candidate.candidate_id,
        image=candidate.image,
        question=candidate.question,
        question_type=candidate.cell.question_type,
        choices=candidate.choices,
        answer=candidate.answer,
        tolerance=candidate.tolerance,
    )


def _parts(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    part: list[Candidate] = []
    num_bytes = 0
    for candidate in candidates:
        if part and num_bytes + len(candidate.image) > MAX_REQUEST_BYTES:
            yield part
            part, num_bytes = [], 0
        part.append(candidate)
        num_bytes += len(candidate.image)
    if part:
        yield part
