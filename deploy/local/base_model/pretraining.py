"""The training loop of the base model: small, seeded, resumable."""

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deploy.local.base_model.architecture import IMAGE_SIZE_PX, MERGE_SIZE, PATCH_SIZE_PX
from deploy.local.base_model.lessons import Encoder, Lesson, Schedule, lessons
from shared.domain import Cell

_GRID = IMAGE_SIZE_PX // PATCH_SIZE_PX
SHARD_STEPS = 100


@dataclass(frozen=True, slots=True)
class Pretraining:
    """One phase of training. Every value is part of the recipe: change one and another model comes out."""

    seed: int = 0
    first_shard: int = 0
    """Which lessons come first; a later phase goes on where the one before it stopped."""
    num_steps: int = 1400
    batch_size: int = 64
    learning_rate: float = 2e-3
    final_learning_rate: float = 1e-4
    warmup_steps: int = 60
    weight_decay: float = 0.05
    question_weight: float = 4.0
    difficulties: tuple[float, float] = (0.1, 0.7)
    option_share: float = 0.0
    """Share of the lessons that are exercises in reading options."""

    def rate_at(self, step: int) -> float:
        """The learning rate: linear warm-up, then a cosine down to the final rate."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.num_steps - self.warmup_steps)
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * 0.5 * (1 + float(np.cos(np.pi * share)))


def to_patches(pixels: Tensor) -> Tensor:
    """RGB bytes (images, 64, 64, 3) as the processor's own patch rows (images × 64, 384), normalised to [-1, 1]."""
    num, blocks = pixels.shape[0], _GRID // MERGE_SIZE
    values = pixels.float().permute(0, 3, 1, 2) / 127.5 - 1
    split = values.reshape(num, 3, blocks, MERGE_SIZE, PATCH_SIZE_PX, blocks, MERGE_SIZE, PATCH_SIZE_PX)
    # One row a patch, merged patches next to each other, each pixel twice: a still image is two equal frames.
    rows = split.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)
    return rows.reshape(num * _GRID * _GRID, 3 * 2 * PATCH_SIZE_PX * PATCH_SIZE_PX)


class Batches:
    """Lessons as tensors, shard by shard; the next shard is drawn while the present one is learnt."""

    def __init__(self, recipe: Pretraining, schedules: Mapping[Cell, Schedule], encoder: Encoder) -> None:
        self._recipe, self._schedules, self._encoder = recipe, schedules, encoder
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: dict[int, Any] = {}

    def _draw(self, shard: int) -> list[list[tuple[Lesson, tuple[list[int], list[int], list[float]]]]]:
        seed = f"{self._recipe.seed}/{self._recipe.first_shard + shard}"
        size = self._recipe.batch_size
        drawn = [
            (lesson, self._encoder.encode(lesson.turns))
            for lesson in lessons(self._schedules, SHARD_STEPS * size, seed, self._recipe.difficulties, self._recipe.option_share)
        ]
        # Batches of equally long lessons waste less on padding; their order is shuffled again.
        drawn.sort(key=lambda pair: len(pair[1][0]))
        batches = [drawn[start : start + size] for start in range(0, len(drawn), size)]
        Random(seed).shuffle(batches)
        return batches

    def at(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Patches, token ids, targets and target weights of a step, padded on the right."""
        shard, index = divmod(step, SHARD_STEPS)
        for wanted in (shard, shard + 1):
            if wanted not in self._pending:
                self._pending[wanted] = self._thread.submit(self._draw, wanted)
        self._pending.pop(shard - 1, None)
        return collate(self._pending[shard].result()[index])

    def close(self) -> None:
        """Stops drawing."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def collate(batch: Sequence[tuple[Lesson, tuple[list[int], list[int], list[float]]]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Patches, token ids, targets and target weights of some lessons, padded on the right."""
    length = max(len(ids) for _, (ids, _, _) in batch)
    token_ids = torch.zeros(len(batch), length, dtype=torch.long)
    targets = torch.full((len(batch), length), -100, dtype=torch.long)
    weights = torch.zeros(len(batch), length)
    for row, (_, (ids, wanted, weight)) in enumerate(batch):
        token_ids[row, : len(ids)] = torch.tensor(ids)
        targets[row, : len(ids)] = torch.tensor(wanted)
        weights[row, : len(ids)] = torch.tensor(weight)
    pixels = torch.from_numpy(np.stack([lesson.pixels for lesson, _ in batch]))
    return to_patches(pixels), token_ids, targets, weights


def loss_of(model: Any, patches: Tensor, token_ids: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The weighted cross-entropy on answers; right padding needs no mask, because attention is causal."""
    num = token_ids.shape[0]
    outputs = model.model(
        input_ids=token_ids,
        pixel_values=patches,
        image_grid_thw=torch.tensor([[1, _GRID, _GRID]]).expand(num, -1),
        mm_token_type_ids=(token_ids == model.config.image_token_id).int(),
        use_cache=False,
    )
    is_target = targets[:, 1:] != -100
    hidden = outputs.last_hidden_state[:, :-1][is_target]
    losses = nn.functional.cross_entropy(model.lm_head(hidden), targets[:, 1:][is_target], reduction="none")
    weight = weights[:, 1:][is_target]
    return (losses * weight).sum() / weight.sum()


def make_optimizers(model: Any, recipe: Pretraining) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the network, AdamW for embeddings, output, patches and vectors.

    Muon reaches the loss of AdamW in about two thirds of the time on a model of this size.
    """
    tables = {id(p) for p in (*model.get_input_embeddings().parameters(), *model.get_output_embeddings().parameters())}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in tables]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98), fused=True),
    ]


def pretrain(model: Any, recipe: Pretraining, schedules: Mapping[Cell, Schedule], encoder: Encoder, state_path: Path) -> None:
    """Trains the model in place; continues from `state_path` where an earlier call was stopped."""
    optimizers = make_optimizers(model, recipe)
    step = _restore(state_path, model, optimizers)
    batches = Batches(recipe, schedules, encoder)
    model.train()
    started, first, losses = time.monotonic(), step, deque[float](maxlen=100)
    try:
        while step < recipe.num_steps:
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = recipe.rate_at(step)
            loss = loss_of(model, *batches.at(step))
            model.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            losses.append(loss.item())
            step += 1
            if step % 50 == 0:
                rate = (step - first) * recipe.batch_size / (time.monotonic() - started)
                sys.stderr.write(f"step {step}/{recipe.num_steps}  loss {sum(losses) / len(losses):.3f}  {rate:.0f} samples/s\n")
            if step % 100 == 0 or step == recipe.num_steps:
                _save(state_path, model, optimizers, step)
    finally:
        batches.close()
    model.eval()


def _restore(path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    sys.stderr.write(f"continues at step {state['step']}\n")
    return int(state["step"])


def _save(path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_suffix(".part")
    torch.save({"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers], "step": step}, torn)
    torn.rename(path)
