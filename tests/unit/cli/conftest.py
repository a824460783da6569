from pathlib import Path

import pytest

from tests.user_files import write_checkpoint, write_images, write_jsonl


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint")


@pytest.fixture
def probe_rows(tmp_path: Path) -> list[dict[str, object]]:
    return write_images(tmp_path)


@pytest.fixture
def probe_file(tmp_path: Path, probe_rows: list[dict[str, object]]) -> Path:
    return write_jsonl(tmp_path / "probes.jsonl", probe_rows)
