"""Checkpoint directories in Hugging Face layout: what is accepted, and the one way to load one.

A user's own Qwen3-VL-8B and the tiny model of the embedded stack come through the same door. Weights are safetensors only: a pickle can
run code while it is read. torch and transformers are imported inside the functions, so that rooms without them may import this file.
"""

import json
import struct
from pathlib import Path
from typing import Any

from shared.errors import BadConfiguration, Rejected

MODEL_TYPES = ("qwen3_vl", "qwen2_5_vl")
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_MAX_HEADER_BYTES = 100_000_000


def check_directory(path: Path) -> str:
    """The model type of a checkpoint directory that may be loaded; reads headers, not weights.

    Raises:
        Rejected: no such directory, no config.json or an unreadable one, no safetensors, a missing or torn shard, a pickle beside the
            weights, code of its own, or no tokenizer or processor settings. The text says what to do.
    """
    path = Path(path)
    if not path.is_dir():
        raise Rejected(f"{path} is not a directory: name the folder that holds config.json and *.safetensors")
    config = _read_json(path / "config.json")
    pickles = sorted(file.name for file in path.rglob("*") if file.suffix.lower() in PICKLE_SUFFIXES)
    if pickles:
        raise Rejected(
            f"{path} holds pickled weights ({', '.join(pickles[:3])}), which can run code when read: "
            "convert them with `model.save_pretrained(DIR)` (it writes safetensors) and remove the pickles"
        )
    _check_weights(path)
    if "auto_map" in config or any(path.glob("*.py")):
        raise Rejected(f"{path} brings its own code (auto_map or *.py), which is never run: use a model that transformers knows")
    for files, what in ((_TOKENIZER_FILES, "tokenizer"), (_PROCESSOR_FILES, "processor")):
        if not any((path / name).is_file() for name in files):
            raise Rejected(f"{path} has no {what} ({' or '.join(files)}): save it there with `processor.save_pretrained(DIR)`")
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise Rejected(f"{path}/config.json names no model_type: it is not a Hugging Face model")
    return model_type


def load_policy(path: Path, *, dtype: str = "float32", device: str = "cpu") -> tuple[Any, Any]:
    """The model in evaluation mode, and its processor (left padding), from a checked local directory; nothing is downloaded.

    Args:
        path: a directory in Hugging Face layout.
        dtype: a torch dtype's name, or "auto" for the dtype of the weights.
        device: where the model goes: "cpu", "cuda", "cuda:1", ...

    Raises:
        Rejected: see `check_directory`; also where transformers does not know the model as an image-text-to-text model.
        BadConfiguration: no such dtype, or the device is not there.
    """
    import torch
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging as transformers_logging

    from shared.image_only_processor import build_processor

    model_type = check_directory(path)
    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise BadConfiguration(f"{dtype!r} is no torch dtype: use float32, bfloat16, float16 or auto")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadConfiguration(f"device {device!r} was asked for, but torch sees no CUDA device: use cpu or install a CUDA build of torch")
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            path,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        processor = build_processor(Path(path), model_type)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise Rejected(
            f"{path} (model type {model_type!r}) does not load as an image-text-to-text model: {error}. Supported: {', '.join(MODEL_TYPES)}"
        ) from error
    processor.tokenizer.padding_side = "left"
    return model.to(device).eval(), processor


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise Rejected(f"{path.parent} has no {path.name}: name the folder that `save_pretrained` wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Rejected(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise Rejected(f"{path} holds {type(content).__name__}, not an object")
    return content


def _check_weights(path: Path) -> None:
    shards = {file.name for file in path.glob("*.safetensors")}
    if not shards:
        raise Rejected(f"{path} has no *.safetensors: save the model with `model.save_pretrained(DIR)`")
    index = path / "model.safetensors.index.json"
    if index.is_file():
        missing = sorted(set(_read_json(index).get("weight_map", {}).values()) - shards)
        if missing:
            raise Rejected(f"{path} lacks {', '.join(missing[:3])}, which {index.name} names: copy or download it again")
    for shard in sorted(shards):
        _check_safetensors(path / shard)


def _check_safetensors(path: Path) -> None:
    """A torn or foreign file is refused by its header, before torch maps it."""
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        header_bytes = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= header_bytes <= min(_MAX_HEADER_BYTES, num_bytes - 8):
            raise Rejected(f"{path} is torn or not a safetensors file: copy or download it again")
        try:
            header = json.loads(file.read(header_bytes))
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Rejected(f"{path} is not a safetensors file: its header cannot be read ({error})") from error
    if 8 + header_bytes + end != num_bytes:
        raise Rejected(
            f"{path} is torn: its header speaks of {8 + header_bytes + end} bytes, it has {num_bytes}: copy or download it again"
        )
