"""What a user brings to `spiral run`: a checkpoint directory, and probes with their images."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from safetensors.numpy import save_file


def write_checkpoint(directory: Path) -> Path:
    """A directory that passes for a checkpoint as long as nobody loads its weights."""
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "qwen3_vl"}')
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (directory / name).write_text("{}")
    save_file({"weight": np.zeros(4, np.float32)}, directory / "model.safetensors")
    return directory


def write_images(folder: Path, num: int = 12) -> list[dict[str, object]]:
    """Good probe rows, their images in the folder."""
    rows: list[dict[str, object]] = []
    for number in range(num):
        picture = Image.new("RGB", (64, 64), "white")
        draw = ImageDraw.Draw(picture)
        for dot in range(number + 1):
            draw.ellipse((5 * dot, 5 * dot, 5 * dot + 4, 5 * dot + 4), fill="red")
        picture.save(folder / f"dots-{number}.png")
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


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
