"""What the evaluator promises about one model, without a model."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.answers import Outcome
from shared.domain import ErrorType
from shared.errors import DigestMismatch, Rejected
from shared.events import EvaluationCompleted
from shared.run_spec import EvaluationSpec
from shared.tables import AnswerRow, read_answers
from tests.unit.evaluator.asking import DELIVERY, Desk, TablePolicy, desk, probe, write_checkpoint


def always(text: str) -> TablePolicy:
    return TablePolicy(lambda *_: text)


async def completed(made: Desk, policy: TablePolicy) -> tuple[EvaluationCompleted, list[AnswerRow], list[AnswerRow]]:
    (event,) = await made.evaluator(policy).on_model_updated(made.event, DELIVERY)
    assert isinstance(event, EvaluationCompleted)
    rows = [read_answers(await made.artifacts.read_bytes(ref), "answers") for ref in (event.answers, event.exam_answers)]
    return event, rows[0], rows[1]


async def test_core_and_this_iterations_fresh_probes_are_asked_greedily_and_sampled_and_the_exam_greedily(tmp_path: Path) -> None:
    probes = [probe("a"), probe("b", "fresh-0"), probe("c", "fresh-1")]
    async with desk(tmp_path, probes, num_samples=3) as made:
        event, answers, exam = await completed(made, always("3"))
    assert [(row.probe_id, row.sample_index, row.is_greedy) for row in answers] == [
        (name, index, index == 0) for name in ("a", "b") for index in range(4)
    ]
    assert [(row.probe_id, row.is_greedy) for row in exam] == [("exam-1", True)]
    assert (event.num_probes, event.num_answers, event.num_ungradable, event.num_failed) == (2, 8, 0, 0)


async def test_a_wrong_greedy_answer_beside_a_right_sample_is_an_unstable_skill(tmp_path: Path) -> None:
    policy = TablePolicy(lambda _, is_greedy, index: "4" if is_greedy or index else "3")
    async with desk(tmp_path, [probe("a")]) as made:
        _, answers, _ = await completed(made, policy)
    assert [(row.outcome, row.error_type) for row in answers] == [
        (Outcome.INCORRECT, ErrorType.UNSTABLE),
        (Outcome.CORRECT, None),
        (Outcome.INCORRECT, ErrorType.WRONG_VALUE),
    ]


async def test_a_probe_that_could_not_be_asked_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    async with desk(tmp_path, [probe("a"), probe("b", image=b"")]) as made:
        event, answers, _ = await completed(made, always("3"))
    assert [row.outcome for row in answers if row.probe_id == "b"] == ["failed"]
    assert (event.num_failed, event.num_answers, event.num_probes) == (1, 3, 2)


async def test_an_answer_that_cannot_be_read_is_counted_apart(tmp_path: Path) -> None:
    async with desk(tmp_path, [probe("a")]) as made:
        event, answers, _ = await completed(made, always("no idea"))
    assert {(row.outcome, row.error_type, row.extracted) for row in answers} == {(Outcome.UNGRADABLE, ErrorType.UNGRADABLE, None)}
    assert event.num_ungradable == 3


async def test_a_killed_evaluation_asks_only_what_is_missing(tmp_path: Path) -> None:
    probes = [probe(f"p{number}") for number in range(6)]
    async with desk(tmp_path, probes) as made:
        interrupted = TablePolicy(lambda text, *_: "3" if "p1" in text else "4", fail_after=9)
        with pytest.raises(ConnectionError):
            await made.evaluator(interrupted).on_model_updated(made.event, DELIVERY)
        resumed = TablePolicy(lambda text, *_: "3" if "p1" in text else "4")
        _, answers, _ = await completed(made, resumed)
    asked_again = {text for text in resumed.asked if "p0" in text or "p1" in text or "p2" in text or "p3" in text}
    assert not asked_again
    assert {row.probe_id for row in answers if row.outcome == Outcome.CORRECT} == {"p1"}
    assert len(answers) == 18


async def test_half_done_answers_to_other_questions_are_not_used(tmp_path: Path) -> None:
    async with desk(tmp_path, [probe("a"), probe("b"), probe("c")]) as made:
        with pytest.raises(ConnectionError):
            await made.evaluator(TablePolicy(lambda *_: "3", fail_after=5)).on_model_updated(made.event, DELIVERY)
        other = replace(made.spec, evaluation=EvaluationSpec(num_samples_per_probe=2, temperature=0.5))
        policy = always("3")
        await made.evaluator(policy, other).on_model_updated(made.event, DELIVERY)
    assert len(policy.asked) == 2 * 3 + 1


async def test_a_redelivered_model_is_announced_again_without_asking(tmp_path: Path) -> None:
    async with desk(tmp_path, [probe("a")]) as made:
        first, _, _ = await completed(made, always("3"))
        silent = always("4")
        assert await made.evaluator(silent).on_model_updated(made.event, DELIVERY) == [first]
        ((cause, events),) = await made.evaluator(silent).reconcile(made.spec)
    assert silent.asked == []
    assert (cause, list(events)) == (DELIVERY.cause, [first])


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ([], "no probe for evaluation 0"),
        ([probe("c", "fresh-1")], "fresh-0"),
        ([probe("a"), probe("a")], "'a' stands twice"),
        ([probe("a"), probe("b", "exam")], "'b' is of the exam"),
    ],
)
async def test_probes_that_cannot_be_asked_are_refused_with_what_to_do(tmp_path: Path, probes: list, message: str) -> None:
    async with desk(tmp_path, probes) as made:
        with pytest.raises(Rejected, match=message):
            await made.evaluator(always("3")).on_model_updated(made.event, DELIVERY)
        assert await made.artifacts.names("runs/r1/0/") == []


async def test_an_empty_exam_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, [probe("a")], exam=[]) as made:
        with pytest.raises(Rejected, match="holds no exam item"):
            await made.evaluator(always("3")).on_model_updated(made.event, DELIVERY)


async def test_a_checkpoint_with_a_pickle_is_refused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "pickled")
    (checkpoint / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    async with desk(tmp_path, [probe("a")], checkpoint=checkpoint) as made:
        with pytest.raises(Rejected, match=r"pytorch_model\.bin.*save_pretrained"):
            await made.evaluator(always("3")).on_model_updated(made.event, DELIVERY)


async def test_corrupted_probes_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async with desk(tmp_path, [probe("a")]) as made:
        path = tmp_path / "objects" / made.spec.probes.uri.removeprefix("spiral://")
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-4] + b"torn")
        policy = always("3")
        with pytest.raises(DigestMismatch):
            await made.evaluator(policy).on_model_updated(made.event, DELIVERY)
    assert policy.asked == []


@pytest.mark.parametrize(
    "spec",
    [
        EvaluationSpec(temperature=float("nan")),
        EvaluationSpec(temperature=0.0),
        EvaluationSpec(max_new_tokens=0),
        EvaluationSpec(batch_size=0),
        EvaluationSpec(num_samples_per_probe=100_000),
    ],
)
async def test_a_specification_out_of_range_is_refused(tmp_path: Path, spec: EvaluationSpec) -> None:
    async with desk(tmp_path, [probe("a")]) as made:
        with pytest.raises(Rejected, match="must be"):
            await made.evaluator(always("3"), replace(made.spec, evaluation=spec)).on_model_updated(made.event, DELIVERY)
