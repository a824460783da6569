import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.numpy import save_file


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A directory that passes for a checkpoint as long as nobody loads its weights."""
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "qwen3_vl"}')
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (directory / name).write_text("{}")
    save_file({"weight": np.zeros(4, np.float32)}, directory / "model.safetensors")
    return directory


@pytest.fixture
def probe_rows(tmp_path: Path) -> list[dict[str, object]]:
    """Twelve good rows, their images beside the file that a test writes."""
    rows: list[dict[str, object]] = []
    for number in range(12):
        picture = Image.new("RGB", (64, 64), "white")
        draw = ImageDraw.Draw(picture)
        for dot in range(number + 1):
            draw.ellipse((5 * dot, 5 * dot, 5 * dot + 4, 5 * dot + 4), fill="red")
        picture.save(tmp_path / f"dots-{number}.png")
        rows.append(
            {
                "image": f"dots-{number}.png",
                "question": "How many dots are there?",
                "question_type": "numeric",
                "answer": number + 1,
                "category": "geometric",
            }
        )
    return rows


@pytest.fixture
def probe_file(tmp_path: Path, probe_rows: list[dict[str, object]]) -> Path:
    path = tmp_path / "probes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in probe_rows))
    return path
