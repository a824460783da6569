"""The published checkpoint: Hugging Face layout, the type of its base model, nothing that is not finite."""

import json
import shutil
from pathlib import Path

import torch

from services.trainer.stage import copy_processor
from shared.checkpoint import check_directory, load_policy
from shared.errors import Rejected


def export_checkpoint(trained: Path, base: Path, target: Path, *, model_card: str) -> None:
    """Makes `target` a publishable checkpoint: safetensors, with the processor and tokenizer of its base. All of it stands or nothing.

    Raises:
        Rejected: a weight is NaN or infinite; names it.
    """
    if target.is_dir():
        return
    model, _ = load_policy(trained, dtype=_dtype_of(base))
    for name, tensor in model.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise Rejected(f"{name} is not finite after training: lower training.*_learning_rate")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.save_pretrained(partial)
    copy_processor(base, partial)
    (partial / "README.md").write_text(model_card, encoding="utf-8")
    check_directory(partial)
    partial.rename(target)


def _dtype_of(checkpoint: Path) -> str:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config") or {}
    return str(config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype") or "float32")
