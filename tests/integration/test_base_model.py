"""The shipped base checkpoint: small, without pickles, and mixed, so that the main job has something to teach and something to lose."""

from pathlib import Path

import pytest

from deploy.local.base_model.measurement import is_mixed, measure, table
from shared.checkpoint import check_directory

CHECKPOINT = Path(__file__).parents[2] / "deploy" / "local" / "base_model" / "checkpoint"

pytestmark = [pytest.mark.torch, pytest.mark.timeout(400)]


def test_the_shipped_checkpoint_is_small_and_holds_no_code() -> None:
    check_directory(CHECKPOINT)
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) <= 8_000_000


def test_the_shipped_checkpoint_is_mixed() -> None:
    scores = measure(CHECKPOINT, num_items=60, num_samples=1, seed=77, num_threads=2)
    assert is_mixed(scores), table(scores)
