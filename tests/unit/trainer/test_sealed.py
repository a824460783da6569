from pathlib import Path

import pytest

from services.trainer.job import StageSummary
from services.trainer.sealed import SEAL, newest_checkpoint, read_seal, remove_torn_checkpoints, seal
from shared.domain import Recipe


def checkpoint(directory: Path, step: int, *, is_sealed: bool = True) -> Path:
    path = directory / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"w" * 100)
    (path / "optimizer.pt").write_bytes(b"o" * 200)
    if is_sealed:
        seal(path)
    return path


def test_the_newest_complete_checkpoint_is_found_by_its_number(tmp_path: Path) -> None:
    checkpoint(tmp_path, 900)
    newest = checkpoint(tmp_path, 1000)
    checkpoint(tmp_path, 1100, is_sealed=False)
    assert newest_checkpoint(tmp_path) == newest


@pytest.mark.parametrize("tear", ["truncate", "remove", "add", "garble seal"])
def test_a_checkpoint_that_differs_from_its_seal_is_passed_over(tmp_path: Path, tear: str) -> None:
    earlier, torn = checkpoint(tmp_path, 50), checkpoint(tmp_path, 100)
    match tear:
        case "truncate":
            (torn / "optimizer.pt").write_bytes(b"o" * 199)
        case "remove":
            (torn / "model.safetensors").unlink()
        case "add":
            (torn / "rng_state.pth").write_bytes(b"r")
        case "garble seal":
            (torn / SEAL).write_text('{"num_by', encoding="utf-8")
    assert newest_checkpoint(tmp_path) == earlier
    assert remove_torn_checkpoints(tmp_path) == [torn]
    assert not torn.exists()
    assert earlier.exists()


def test_no_checkpoint_at_all_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-best").mkdir()
    assert newest_checkpoint(tmp_path / "absent") is None
    assert newest_checkpoint(tmp_path) is None


def test_a_stage_result_keeps_its_summary(tmp_path: Path) -> None:
    summary = StageSummary(recipe=Recipe.TEACH, num_samples=3, num_steps=2, loss=0.5)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert read_seal(tmp_path) is None
    seal(tmp_path, summary)
    sealed = read_seal(tmp_path)
    assert sealed is not None
    assert sealed.summary == summary
