"""Policies on a scripted vLLM server, and checkpoints small enough to be made for a test."""

import json
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.evaluator.policy_model import Completions, Decoding, Prompt
from services.evaluator.vllm_model import VllmModel
from tests.unit.evaluator.asking import png
from tests.unit.evaluator.scripted_vllm import ScriptedVllm

SAMPLED = Decoding(num_samples=3, temperature=0.7, max_new_tokens=9, seed=11)
PROMPTS = [Prompt(png(number), f"How many in {number}?") for number in range(6)]


def write_weights(directory: Path, fill: int, *, shape: tuple[int, int] = (2, 2), template: str = "t", tied: bool = False) -> Path:
    """A checkpoint whose few weights all have one value."""
    names = ["model.embed_tokens.weight", *([] if tied else ["lm_head.weight"])]
    size = 4 * shape[0] * shape[1]
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [n * size, (n + 1) * size]} for n, name in enumerate(names)}
    encoded = json.dumps(header).encode()
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes([fill]) * size * len(names))
    (directory / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": []}))
    (directory / "processor_config.json").write_text("{}")
    (directory / "chat_template.jinja").write_text(template)
    return directory


@asynccontextmanager
async def model_on(script: ScriptedVllm, directory: Path, **changes: Any) -> AsyncIterator[VllmModel]:
    how = {"max_in_flight": 4, "timeout_s": 5.0, "swap_timeout_s": 5.0, "max_image_pixels": 1 << 20, **changes}
    async with VllmModel(url=script.url, directory=directory, **how) as model:
        yield model


def texts(answers: Sequence[Completions]) -> list[tuple[str, ...]]:
    assert not any(answer.failure for answer in answers)
    return [answer.texts for answer in answers]
