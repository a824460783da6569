"""Checkpoints in the directory that evaluator and model server both see, and whether a served model can take their weights.

The server refuses nothing: given a directory that does not fit, it answers 500 and dies at the next request. So headers, tokenizer and chat
template are compared here first.
"""

import filecmp
import json
import os
import shutil
import uuid
from collections import Counter, OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.checkpoint import check_directory
from shared.durable_files import disk_errors
from shared.errors import BadConfiguration, Rejected, Retryable

PREFIX = "spiral-checkpoint-"
_WEIGHTS = "*.safetensors"


class Placement:
    """The last few checkpoints, each in a directory of its own; hard links where the file system allows, else copies."""

    def __init__(self, directory: Path, *, max_placed: int) -> None:
        """Takes the shared directory and how many checkpoints stay in it."""
        self._directory = directory
        self._max_placed = max_placed
        self._placed: OrderedDict[Path, Path] = OrderedDict()

    def clear(self) -> None:
        """Makes the directory, and removes what this process, or one before it, has placed in it.

        Raises:
            BadConfiguration: it can't be made, or not be written.
        """
        self._placed.clear()
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
        if not self._directory.is_dir() or not os.access(self._directory, os.W_OK | os.X_OK):
            raise BadConfiguration(
                f"SPIRAL_POLICY_SERVER_DIR is {self._directory}, which is no directory that this process can write: "
                "mount one that the model server sees at the same path"
            )
        for standing in self._directory.glob(f"{PREFIX}*"):
            shutil.rmtree(standing, ignore_errors=True)

    def place(self, checkpoint: Path, served: Path) -> Path:
        """Where the model server finds a checkpoint that fits the model it was started with.

        Args:
            checkpoint: a directory in Hugging Face layout that does not change.
            served: the directory that the server was started with.

        Raises:
            Rejected: the checkpoint can't be served in the place of that model.
            Retryable: the served directory is not to be seen here, or the disk is full.
        """
        check_fits(checkpoint, served)
        standing = self._placed.get(checkpoint)
        if standing is None or not standing.is_dir():
            standing = self._placed[checkpoint] = _copy(checkpoint, self._directory / f"{PREFIX}{uuid.uuid4().hex}")
        self._placed.move_to_end(checkpoint)
        while len(self._placed) > self._max_placed:
            shutil.rmtree(self._placed.popitem(last=False)[1], ignore_errors=True)
        return standing


def _copy(checkpoint: Path, target: Path) -> Path:
    try:
        with disk_errors(target.parent):
            for source in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
                place = target / source.relative_to(checkpoint)
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(source.resolve(), place)
                except OSError:
                    shutil.copyfile(source, place)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def check_fits(checkpoint: Path, served: Path) -> None:
    """Refuses a checkpoint that the served model cannot take, or would answer wrongly with.

    Names of weights are compared by their ends: the same model may be saved under two prefixes, and a server takes both.

    Raises:
        Rejected: tied embeddings, another family, other weights or shapes, another vocabulary or chat template.
        Retryable: the served directory is not to be seen here.
    """
    model_type = check_directory(checkpoint)
    try:
        served_type = check_directory(served)
    except Rejected as error:
        raise Retryable(
            f"the model server serves {served}, which cannot be read here: mount it at the same path in both ({error})"
        ) from error
    ours, theirs = _shapes(checkpoint), _shapes(served)
    for path, shapes in ((checkpoint, ours), (served, theirs)):
        if _is_tied(path, shapes):
            raise Rejected(
                f"{path} has tied embeddings, whose head a running vLLM may keep from the checkpoint before: save it untied, "
                "as deploy/vllm/README.md shows, or unset SPIRAL_POLICY_SERVER_URL"
            )
    if model_type != served_type:
        raise Rejected(f"{checkpoint} is a {model_type}, the model server serves a {served_type}: start it with the run's base checkpoint")
    if ours != theirs:
        differing = sorted(((ours - theirs) + (theirs - ours)).keys())[:3]
        raise Rejected(
            f"{checkpoint} has other weights than the served {served} ({', '.join(f'{name} {list(shape)}' for name, shape in differing)}): "
            "start the model server with the run's base checkpoint"
        )
    for what, read in (("vocabulary", _vocabulary), ("chat template", _chat_template)):
        if read(checkpoint) != read(served):
            raise Rejected(
                f"{checkpoint} has another {what} than the served {served}: start the model server with the run's base checkpoint"
            )


def have_same_weights(first: Path, second: Path) -> bool:
    """Whether two checkpoints hold the same bytes of weights; reads them all."""
    names = sorted(path.name for path in first.glob(_WEIGHTS))
    if names != sorted(path.name for path in second.glob(_WEIGHTS)):
        return False
    return all(filecmp.cmp(first / name, second / name, shallow=False) for name in names)


def _shapes(path: Path) -> Counter[tuple[str, tuple[int, ...]]]:
    shapes: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for shard in path.glob(_WEIGHTS):
        with shard.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__":
                shapes[".".join(name.split(".")[-2:]), tuple(entry["shape"])] += 1
    return shapes


def _is_tied(path: Path, shapes: Counter[tuple[str, tuple[int, ...]]]) -> bool:
    config = _json(path / "config.json")
    is_said = any(one.get("tie_word_embeddings") for one in (config, config.get("text_config") or {}))
    return is_said or not any(name.endswith("lm_head.weight") for name, _ in shapes)


def _vocabulary(path: Path) -> Any:
    tokenizer = _json(path / "tokenizer.json")
    added = sorted((token["id"], token["content"]) for token in tokenizer.get("added_tokens", ()))
    return added, tokenizer.get("model", {}).get("vocab") or _json(path / "vocab.json")


def _chat_template(path: Path) -> Any:
    with suppress(FileNotFoundError):
        return (path / "chat_template.jinja").read_text(encoding="utf-8")
    return _json(path / "chat_template.json").get("chat_template") or _json(path / "tokenizer_config.json").get("chat_template")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Rejected(f"{path} is not JSON: {error}") from error
    return content if isinstance(content, dict) else {}
