from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.job import (
    Failed,
    Finished,
    Hardware,
    Job,
    Progress,
    SampleFile,
    StageSummary,
    check_training,
    parse_report,
    read_job,
    split_batch,
)
from services.trainer.model_card import render_model_card
from shared.domain import Recipe
from shared.errors import Rejected
from shared.run_spec import TrainingSpec


def job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "training_id": "run-a/2",
        "seed": 3,
        "base_model_id": "run-a/1",
        "base_sha256": "b" * 64,
        "base_directory": Path("/cache/base"),
        "dataset_sha256": "d" * 64,
        "dataset_files": (SampleFile(path=Path("/cache/d/samples.parquet"), name="samples.parquet"),),
        "replay_sha256s": ("e" * 64,),
        "replay_files": (),
        "replay_share": 0.2,
        "training": TrainingSpec(),
        "hardware": Hardware(num_threads=2),
        "directory": Path("/scratch/run-a-2"),
    }
    return Job(**values | changes)


def test_a_job_file_says_the_whole_job(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(job().model_dump_json(), encoding="utf-8")
    assert read_job(path) == job()


@pytest.mark.parametrize("content", ["", "{}", '{"training_id": 3}', job().model_dump_json().replace("0.2", "1.0")])
def test_a_broken_job_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(Rejected, match=r"job\.json"):
        read_job(path)


def test_a_training_is_taken_up_again_on_other_paths_and_hardware_but_not_with_other_content() -> None:
    same = job(hardware=Hardware(device="cuda", num_threads=7), base_directory=Path("/elsewhere"), directory=Path("/other"))
    assert same.digest() == job().digest()
    assert job(held_back=("map/text",)).digest() != job().digest()
    for change in ({"seed": 4}, {"dataset_sha256": "f" * 64}, {"training": TrainingSpec(sft_epochs=1)}, {"replay_share": 0.3}):
        assert job(**change).digest() != job().digest()


def test_a_training_that_v0_2_0_began_goes_on() -> None:
    assert job().digest() == "c37edbaa7e9df2e37bbea09d44a4f7db86126dfb74e5ba25037ca1fc832180f8"


@pytest.mark.parametrize(
    "report",
    [
        Progress(recipe=Recipe.REINFORCE, step=3, num_steps=9, loss=0.5, samples_per_s=10.0, reward=0.4, accuracy=0.25),
        Finished(export=Path("/x"), stages=(StageSummary(recipe=Recipe.TEACH, num_samples=1, num_steps=1, loss=0.1),)),
        Failed(reason="loss is nan"),
    ],
)
def test_a_report_arrives_as_it_was_sent(report: Progress | Finished | Failed) -> None:
    assert parse_report(report.model_dump_json().encode() + b"\n") == report


def test_anything_else_is_no_report() -> None:
    with pytest.raises(ValueError):
        parse_report(b"Loading weights: 100%\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": "dpo"}, "recipe"),
        ({"sft_epochs": 0}, "sft_epochs"),
        ({"sft_learning_rate": 0.0}, "sft_learning_rate"),
        ({"grpo_learning_rate": 2.0}, "grpo_learning_rate"),
        ({"grpo_num_generations": 1}, "grpo_num_generations"),
        ({"grpo_batch_size": 100}, "grpo_batch_size"),
        ({"save_every_steps": 0}, "save_every_steps"),
    ],
)
def test_an_impossible_specification_is_refused_by_the_name_of_the_field(change: dict[str, Any], named: str) -> None:
    check_training(TrainingSpec())
    with pytest.raises(Rejected, match=named):
        check_training(replace(TrainingSpec(), **change))


@settings(deadline=None)
@given(share=st.integers(1, 300), num_processes=st.integers(1, 8), micro_batch_size=st.integers(0, 64))
def test_a_batch_is_shared_exactly(share: int, num_processes: int, micro_batch_size: int) -> None:
    per_device, accumulation = split_batch(share * num_processes, num_processes=num_processes, micro_batch_size=micro_batch_size)
    assert per_device * accumulation * num_processes == share * num_processes
    assert per_device <= (micro_batch_size or share)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(Rejected, match="shared evenly"):
        split_batch(33, num_processes=2, micro_batch_size=0)


def test_the_model_card_says_where_the_model_comes_from_and_what_its_training_showed() -> None:
    stages = [
        StageSummary(recipe=Recipe.TEACH, num_samples=90, num_steps=12, loss=0.25),
        StageSummary(recipe=Recipe.REINFORCE, num_samples=30, num_steps=20, loss=0.01, reward=0.7, accuracy=0.65),
    ]
    card = render_model_card(job(), stages, num_new=100, num_replayed=20)
    assert card.startswith("---\n")
    assert "base_model: run-a/1" in card
    for fact in ("d" * 64, "e" * 64, "| 90 | 12 | 0.2500 |", "| 30 | 20 | 0.0100 | 0.700 | 0.650 |", "100 samples", "iteration 2"):
        assert fact in card
