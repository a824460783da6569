"""Which directories are taken for a checkpoint, and what is said of the others."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.checkpoint import check_directory
from shared.errors import Rejected


def safetensors(num_bytes: int = 8) -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(num_bytes)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_a_hugging_face_directory_names_its_model_type(checkpoint: Path) -> None:
    assert check_directory(checkpoint) == "qwen2_5_vl"


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="is not a directory"):
        check_directory(tmp_path / "nowhere")


SPOILED: list[tuple[Callable[[Path], object], str]] = [
    (lambda d: (d / "config.json").unlink(), "has no config.json"),
    (lambda d: (d / "config.json").write_text("{"), "is not JSON"),
    (lambda d: (d / "config.json").write_text("[]"), "not an object"),
    (lambda d: (d / "config.json").write_text("{}"), "names no model_type"),
    (lambda d: (d / "model.safetensors").unlink(), r"no \*\.safetensors: save the model"),
    (lambda d: (d / "model.safetensors").write_bytes(b""), "torn"),
    (lambda d: (d / "model.safetensors").write_bytes(safetensors(num_bytes=5)), "torn"),
    (lambda d: (d / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"oops"), "not a safetensors file"),
    (lambda d: (d / "pytorch_model.bin").write_bytes(b""), "pickled weights"),
    (lambda d: (d / "optimizer.pt").write_bytes(b""), "pickled weights"),
    (lambda d: (d / "weights.PTH").write_bytes(b""), "pickled weights"),
    (lambda d: (d / "state.pkl").write_bytes(b""), "pickled weights"),
    (lambda d: (d / "modeling_own.py").write_text(""), "its own code"),
    (lambda d: (d / "config.json").write_text('{"model_type": "x", "auto_map": {}}'), "its own code"),
    (lambda d: (d / "tokenizer.json").unlink(), "has no tokenizer"),
    (lambda d: (d / "preprocessor_config.json").unlink(), "has no processor"),
    (lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}'), "lacks model-2"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
def test_a_directory_that_may_not_be_loaded_is_refused_with_a_reason(
    checkpoint: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(checkpoint)
    with pytest.raises(Rejected, match=message):
        check_directory(checkpoint)
